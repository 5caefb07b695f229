"""Learning curves: tokens counted, values between validations, areas."""

import json
from pathlib import Path

import numpy as np
import pytest

from appo_core.experiments.curves import Curve, curve, grid, mean_of, read_rows, smooth, tokens_after
from appo_core.jobs.contract import JobError

ROWS = [
    {"step": 0, "v": 0.2},
    {"step": 1, "rollout/generated_tokens": 100.0, "train/score": 0.0},
    {"step": 2, "rollout/generated_tokens": 300.0, "train/score": 1.0, "v": 0.6},
    {"step": 3, "rollout/generated_tokens": 200.0, "train/score": 0.5, "v": 0.4},
]


def test_a_point_stands_behind_the_tokens_of_its_step() -> None:
    assert tokens_after(ROWS) == [0, 100, 400, 600]
    assert curve(ROWS, "v") == Curve((0, 400, 600), (0.2, 0.6, 0.4))
    assert curve(ROWS, "train/score").tokens == (100, 400, 600)
    with pytest.raises(JobError, match="no step has the metric 'w'; there are rollout/generated_tokens, train/score"):
        curve(ROWS, "w")


def test_values_are_linear_between_points_and_constant_beyond() -> None:
    found = curve(ROWS, "v")
    np.testing.assert_allclose(found.at(np.array([0, 200, 400, 500, 900])), [0.2, 0.4, 0.6, 0.5, 0.4])
    assert found.final(500) == pytest.approx(0.5)
    assert found.final(10_000) == pytest.approx(0.4)


def test_the_area_is_the_mean_height_up_to_the_budget() -> None:
    # Trapezoids: 400 x 0.4 + 100 x 0.55 = 215 over 500 tokens.
    assert curve(ROWS, "v").area(500) == pytest.approx(0.43)
    assert Curve((0.0, 50.0), (0.3, 0.3)).area(100) == pytest.approx(0.3)


def test_smoothing_averages_what_came_before() -> None:
    assert smooth(Curve((1, 2, 3, 4), (0.0, 1.0, 2.0, 6.0)), 2).values == (0.0, 0.5, 1.5, 4.0)


def test_the_grid_ends_at_the_budget() -> None:
    np.testing.assert_allclose(grid(10, 3), [0, 5, 10])


def test_means_skip_rows_without_the_metric() -> None:
    assert mean_of(ROWS, "train/score") == pytest.approx(0.5)
    assert mean_of(ROWS, "w") is None


def test_rows_are_read_in_step_order_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in reversed(ROWS)))
    assert read_rows(path) == ROWS
    path.write_text('{"step": 1')
    with pytest.raises(JobError, match="no readable metrics"):
        read_rows(path)
