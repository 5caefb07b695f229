"""Runs that are killed again and again end with the very bits of a run that never was.

The transformers engine takes one request at a time here (`engine.max_in_flight: 1`): which requests share a batch
depends on timing, and the last bits of a log-prob on what shares its batch.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appo_core.training.checkpoint import COMPLETE, RNG, complete
from tests.integration.engine.outcomes import metrics, rollouts, same_bits, tensors
from tests.learnt import make_data, make_model
from tests.lives import Life, Run

pytestmark = [pytest.mark.slow, pytest.mark.faults]
STEPS = 6


def settings(when: str = "minibatch", **changes: Any) -> dict[str, Any]:
    """Small steps with all parts: real tool calls, branches, two updates, validation, the best kept beside the last."""
    return {
        "steps": STEPS,
        "prompts_per_step": 4,
        "minibatch_prompts": 2,
        "micro_batch_tokens": 400,
        "algorithm": {
            "rollouts_per_prompt": 4,
            "initial_rollouts": 2,
            # So low a floor that the measured one counts.
            "branching": {"when": when, "noise_floor": 1e-9},
            "loss": {"entropy_coefficient": 0.01},
        },
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 3},
        "prompt": {"system": "demo"},
        "limits": {"max_prompt_tokens": 120, "max_response_tokens": 32, "max_result_tokens": 16},
        "tools": {"search": {"enabled": False}},
        "engine": {"kind": "transformers", "max_in_flight": 1},
        "validate_every": 3,
        "save_every": 1,
        "keep_best": "validation/score",
        "precision": "fp32",
        "gradient_checkpointing": False,
    } | changes


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    return {"model": make_model(folder / "model"), "data": make_data(folder / "data")}


def compare(run: Run, whole: Run) -> None:
    """Weights, moments, random generators, counters, metrics, rollouts and results."""
    assert metrics(run.work) == metrics(whole.work)
    assert rollouts(run.work) == rollouts(whole.work)
    names = [path.name for path in complete(whole.checkpoints)]
    assert [path.name for path in complete(run.checkpoints)] == names
    for name in names:
        for part in ("model", "optimizer"):
            same_bits(tensors(run.checkpoints / name / part), tensors(whole.checkpoints / name / part))
        assert (run.checkpoints / name / RNG).read_bytes() == (whole.checkpoints / name / RNG).read_bytes()
        assert state(run.checkpoints / name) == state(whole.checkpoints / name)
    same_bits(tensors(run.output / "checkpoint" / "dcp"), tensors(whole.output / "checkpoint" / "dcp"))


def state(checkpoint: Path) -> dict[str, Any]:
    """The marker without file sizes: torch's metadata holds the folder's name."""
    content: dict[str, Any] = json.loads((checkpoint / COMPLETE).read_text())
    return content | {"files": sorted(content["files"])}


def torn(run: Run) -> set[str]:
    """Checkpoints begun and not finished."""
    return {path.name for path in run.checkpoints.glob("step_*") if not (path / COMPLETE).exists()}


class Killer:
    """Kills at seeded moments: every other one somewhere in a life, the others while a checkpoint is written."""

    def __init__(self, seed: int, life_s: float) -> None:
        self.draw, self.life_s = random.Random(seed), life_s
        self.kills = self.while_saving = 0

    def kill(self, run: Run) -> bool:
        """Start a life and end it; False when the run came to its end before."""
        before, life = torn(run), run.start()
        if self.kills % 2:
            reached = life.wait_for(lambda: bool(torn(run) - before))
            time.sleep(self.draw.uniform(0, 0.02) if reached else 0)
        else:
            life.wait_for(self._later())
        if not life.kill(self.draw.randrange(run.ranks)):
            assert life.ended(1) == 0, run.log()
            return False
        self.kills += 1
        self.while_saving += bool(torn(run) - before)
        return True

    def _later(self) -> Callable[[], bool]:
        moment = time.monotonic() + self.draw.uniform(0, 0.6 * self.life_s)
        return lambda: time.monotonic() > moment


def whole_run(folder: Path, chosen: dict[str, Any], inputs: dict[str, Path], ranks: int = 1) -> tuple[Run, float]:
    """A run that nobody disturbs, and the seconds it took."""
    Life.warm()
    began = time.monotonic()
    return Run(folder, chosen, inputs, ranks).finish(), time.monotonic() - began


def killed_runs(folder: Path, whole: Run, killer: Killer, inputs: dict[str, Path], kills: int) -> list[Run]:
    """As many runs as it takes to be killed that often, each brought to its end."""
    chosen, runs = json.loads(whole.job.read_text())["settings"], []
    while killer.kills < kills:
        run = Run(folder / f"killed{len(runs)}", chosen, inputs, whole.ranks)
        runs.append(run)
        while killer.kills < kills and killer.kill(run):
            pass
        run.finish()
    return runs


@pytest.mark.parametrize(
    ("when", "ranks", "kills"), [("minibatch", 1, 20), ("stale", 1, 6), ("minibatch", 2, 4)], ids=str
)
def test_a_killed_run_ends_bit_equal(
    inputs: dict[str, Path], tmp_path: Path, when: str, ranks: int, kills: int
) -> None:
    whole, life_s = whole_run(tmp_path / "whole", settings(when), inputs, ranks)
    killer = Killer(seed=kills, life_s=life_s)
    runs = killed_runs(tmp_path, whole, killer, inputs, kills)
    for run in runs:
        compare(run, whole)
    assert killer.while_saving > 0
    lives = sum(run.lives for run in runs)
    print(f"{kills} kills ({killer.while_saving} while saving) in {len(runs)} runs, {lives} lives")  # noqa: T201
    first = metrics(whole.work)[0]
    assert first["update/grad_norm"] > 0
    assert len({row["train/score"] for row in metrics(whole.work)}) > 1, "rewards that teach something"
    assert sum(row["tools/calls"] for row in metrics(whole.work)) > 0
