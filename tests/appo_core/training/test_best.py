"""The best checkpoint so far."""

import math

import pytest

from appo_core.jobs.contract import JobError
from appo_core.training.best import Best, better

METRIC = "validation/score"


@pytest.mark.parametrize(
    ("best", "value", "wins"),
    [
        (None, -3.0, True),
        (None, math.nan, False),
        (Best(METRIC, 2, 0.5), 0.6, True),
        (Best(METRIC, 2, 0.5), 0.5, False),
        (Best(METRIC, 2, 0.5), math.nan, False),
        (Best("validation/correct", 2, 0.9), 0.1, True),
    ],
)
def test_a_higher_value_wins(best: Best | None, value: float, wins: bool) -> None:
    assert better(best, METRIC, 7, {METRIC: value}) == (Best(METRIC, 7, value) if wins else None)


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(JobError, match="validation/sore") as caught:
        better(None, "validation/sore", 1, {METRIC: 1.0, "train/score": 2.0})
    assert caught.value.remedy == "name one of validation/score"
