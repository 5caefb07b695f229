"""Every method through the one training loop, with a real engine, real tools and the demo's prompts."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from appo_core.config.algorithm import AlgorithmSettings
from appo_core.jobs.contract import Job, JobError, Reporter
from appo_core.methods import method_names
from appo_core.rollout.engines.transformers_engine import TransformersEngine
from appo_core.training.run import train
from tests.integration.engine.test_rl_job import demo, jsonl, settings

__all__ = ["demo"]

PROMPTS, ROLLOUTS = 2, 4


def trained(folder: Path, source: Path, algorithm: dict[str, Any], **changes: Any) -> tuple[list[Any], list[Any]]:
    """Metrics of the steps, and the rows of the first."""
    chosen = settings(steps=2, validate_every=0, algorithm=algorithm, **changes)
    inputs = {"model": source / "model", "data": source / "rl", "corpus": source / "corpus"}
    job = Job(settings=chosen, inputs=inputs, output=folder / "out", work=folder / "work")
    job.output.mkdir(parents=True)
    job.work.mkdir()
    train(job, Reporter())
    return jsonl(job.output / "checkpoint" / "metrics.jsonl"), jsonl(job.output / "rollouts" / "step_000001.jsonl")


@pytest.mark.parametrize("name", method_names())
def test_a_method_trains(demo: Path, tmp_path: Path, name: str) -> None:
    algorithm = {"name": name, "rollouts_per_prompt": ROLLOUTS, "initial_rollouts": 2}
    metrics, rows = trained(tmp_path, demo, algorithm)
    assert len(metrics) == 2
    credited = [row for row in rows if row["advantages"] is not None]
    groups = {row["group"] for row in credited}
    assert len(groups) == PROMPTS
    each = 2 if name == "appo" else ROLLOUTS
    assert all(sum(row["group"] == group for row in credited) == each for group in groups)
    assert (name == "appo") == any(row["advantages"] is None for row in rows)
    loss = AlgorithmSettings.model_validate(algorithm).loss
    if not loss.future_kl:
        assert all(row["update/future_weight"] == 1.0 for row in metrics)
    assert all(row["update/skipped"] == 0 for row in metrics)


def test_arpo_trains_on_its_branches(demo: Path, tmp_path: Path) -> None:
    """A random model calls no tool, so every free slot becomes a fresh rollout; none is lost or repeated."""
    algorithm = {"name": "arpo", "rollouts_per_prompt": 6, "initial_rollouts": 1}
    metrics, rows = trained(tmp_path, demo, algorithm)
    assert len(rows) == 6 * PROMPTS == len({row["uid"] for row in rows})
    assert metrics[0]["train/rollouts"] == 6 * PROMPTS


def test_dapo_samples_again_where_rewards_teach_nothing(demo: Path, tmp_path: Path) -> None:
    """A random model earns the same everywhere: a step samples as often as it may and still trains on a full set."""
    algorithm = {"name": "dapo", "rollouts_per_prompt": 2, "options": {"sampling_rounds": 3}}
    metrics, rows = trained(tmp_path, demo, algorithm)
    assert metrics[0]["train/rollouts"] == 2 * PROMPTS == len(rows)
    tokens = sum(sum(row["mask"]) for row in rows)
    assert metrics[0]["rollout/generated_tokens"] > 2 * tokens


class _Deaf(TransformersEngine):
    """Takes no weights."""

    async def update_weights(self, weights: Iterable[tuple[str, torch.Tensor]], version: int) -> None:
        for _ in weights:
            pass


def test_an_engine_that_does_not_hold_the_policy_s_weights_is_found_out(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first update of the second step sees rollouts of the weights before the first."""
    algorithm = {"rollouts_per_prompt": 4, "initial_rollouts": 2}
    metrics, _ = trained(tmp_path / "sound", demo, algorithm, optimizer={"learning_rate": 0.05})
    assert all(row["engine/logprob_gap"] < 1e-4 for row in metrics)
    monkeypatch.setattr("appo_core.rollout.engines.transformers_engine.TransformersEngine", _Deaf)
    with pytest.raises(JobError, match=r"step 2: log-probs of the transformers engine .* differ by"):
        trained(tmp_path / "deaf", demo, algorithm, optimizer={"learning_rate": 0.05})


def test_a_run_ends_at_its_token_budget(demo: Path, tmp_path: Path) -> None:
    one = {"rollouts_per_prompt": 2, "initial_rollouts": 2}
    chosen = settings(steps=50, validate_every=0, algorithm=one, max_generated_tokens=250, save_every=50)
    inputs = {"model": demo / "model", "data": demo / "rl", "corpus": demo / "corpus"}
    job = Job(settings=chosen, inputs=inputs, output=tmp_path / "out", work=tmp_path / "work")
    job.output.mkdir()
    job.work.mkdir()
    train(job, Reporter())
    state = json.loads((job.output / "checkpoint" / "state.json").read_text())
    metrics = jsonl(job.output / "checkpoint" / "metrics.jsonl")
    assert 1 < state["step"] == len(metrics) < 50
    assert state["tokens"] >= 250 > metrics[-2]["rollout/total_tokens"]
