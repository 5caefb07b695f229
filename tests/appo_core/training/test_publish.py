"""The result of a run: the last checkpoint or the best."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import Job, JobError, Reporter
from appo_core.training.best import Best
from appo_core.training.checkpoint import TrainState
from appo_core.training.publish import published_step
from appo_core.training.run import train
from tests.appo_core.training.golden import SETTINGS
from tests.learnt import make_data, make_model

METRIC = "validation/score"
CHOSEN = {"keep_best": METRIC, "publish": "best", "validate_every": 1}


def job_of(folder: Path, **changes: Any) -> Job:
    chosen = SETTINGS | CHOSEN | {"algorithm": {"name": "grpo", "rollouts_per_prompt": 2}} | changes
    inputs = {"model": make_model(folder / "model"), "data": make_data(folder / "data")}
    job = Job(settings=chosen, inputs=inputs, output=folder / "out", work=folder / "work")
    job.output.mkdir()
    job.work.mkdir()
    return job


def test_the_best_step_is_saved_kept_and_published(tmp_path: Path) -> None:
    """Steps far too long wreck what was learnt, so that the best is not the last."""
    job = job_of(tmp_path, optimizer={"learning_rate": 0.03}, save_every=100, keep_checkpoints=1)
    train(job, Reporter())
    scores = [json.loads(line)[METRIC] for line in (job.work / "metrics.jsonl").read_text().splitlines()]
    best = scores.index(max(scores)) + 1
    assert best < len(scores)
    kept = sorted(path.name for path in (job.work / "checkpoints").iterdir())
    assert kept == [f"step_{best:06d}", f"step_{len(scores):06d}"]
    published = json.loads((job.output / "checkpoint" / "state.json").read_text())
    assert published["step"] == best
    assert published["best"] == {"metric": METRIC, "step": best, "value": max(scores)}
    shard = Path("model/__0_0.distcp")
    wanted = (job.work / "checkpoints" / kept[0] / shard).read_bytes()
    assert (job.output / "checkpoint" / "dcp" / shard.name).read_bytes() == wanted


def test_the_last_step_is_the_default() -> None:
    state = TrainState(9, best=Best(METRIC, 4, 0.5))
    assert published_step(RlSettings(), state) == 9
    settings = RlSettings(keep_best=METRIC, publish="best")
    assert published_step(settings, state) == 4
    with pytest.raises(JobError, match="no validation gave validation/score a number"):
        published_step(settings, TrainState(9))


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"publish": "best"}, "set it, for example to validation/score"),
        ({"keep_best": METRIC, "validate_every": 0}, "set validate_every above 0"),
        ({"keep_best": "train/score"}, "keep_best"),
    ],
)
def test_settings_without_a_best_are_refused(changes: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        RlSettings.model_validate(changes)


def test_a_best_needs_held_out_prompts(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    (job.inputs["data"] / "valid.parquet").unlink()
    with pytest.raises(JobError, match="no held-out prompts"):
        train(job, Reporter())
