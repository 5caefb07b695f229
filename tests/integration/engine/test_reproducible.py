"""One rank against two: the same run, up to the order in which floats are summed.

Rollouts and their seeds do not depend on the number of ranks; gradients are sums over ranks, so their last bits do,
and what a step differs in, later steps carry on. `docs/operations.md` states the tolerances that are held here.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.engine.outcomes import metrics, tensors
from tests.integration.engine.test_kills import inputs, settings, torn
from tests.lives import Life, Run

__all__ = ["inputs"]
pytestmark = pytest.mark.slow
RELATIVE, ABSOLUTE = 1e-4, 1e-6
"""Of every metric of a step."""
WEIGHTS = 1e-5
"""Largest difference of a weight, of a size of about 0.1, behind the last step."""


def same_within(one: Run, other: Run) -> None:
    """Metrics of all steps (losses, gradient norms, rewards, tokens, ...) and final weights."""
    rows, others = metrics(one.work), metrics(other.work)
    assert len(rows) == len(others)
    for row, again in zip(rows, others, strict=True):
        assert again == pytest.approx(row, rel=RELATIVE, abs=ABSOLUTE)
    last = sorted(one.checkpoints.iterdir())[-1].name
    weights, again = (tensors(run.checkpoints / last / "model") for run in (one, other))
    assert weights.keys() == again.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=WEIGHTS)


@pytest.fixture(scope="module")
def whole(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of one rank, without and with rollouts that are a step old."""
    Life.warm()
    folder = tmp_path_factory.mktemp("whole")
    return {when: Run(folder / when, settings(when), inputs).finish() for when in ("minibatch", "stale")}


@pytest.mark.parametrize("when", ["minibatch", "stale"])
def test_two_ranks_learn_what_one_does(
    inputs: dict[str, Path], whole: dict[str, Run], tmp_path: Path, when: str
) -> None:
    same_within(whole[when], Run(tmp_path / "two", settings(when), inputs, ranks=2).finish())


@pytest.mark.faults
@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_a_run_goes_on_with_another_number_of_ranks(
    inputs: dict[str, Path], whole: dict[str, Run], tmp_path: Path, first: int, then: int
) -> None:
    """Waiting rollouts are dealt anew, a best checkpoint stays known."""
    run = Run(tmp_path / "run", settings("stale"), inputs, ranks=first)
    life = run.start()
    assert life.wait_for(lambda: "step_000004" in torn(run)), run.log()
    assert life.kill()
    run.ranks = then
    same_within(whole["stale"], run.finish())
    assert settings_of(run)["noise_floor"] is not None


def settings_of(run: Run) -> dict[str, Any]:
    import json

    content: dict[str, Any] = json.loads((run.output / "checkpoint" / "state.json").read_text())
    return content
