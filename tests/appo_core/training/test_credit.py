"""Rows of several ranks as one mini-batch."""

import pytest

from appo_core.training.credit import in_order, outcomes
from tests.appo_core.training.made import branch_of, scored, trajectory


def test_the_order_does_not_depend_on_the_ranks() -> None:
    rows = [scored(trajectory([1, 1], number, f"{place}/p"), 0.0) for place in (0, 2, 10) for number in (0, 1)]
    assert in_order([rows]) == rows
    assert in_order([rows[2:4], rows[:2] + rows[4:]]) == rows
    assert in_order([[], rows[::-1]]) == rows


def test_branches_of_rows_left_out_are_left_out() -> None:
    rows = [trajectory([1, 1, 1], number) for number in (0, 1, 2)]
    branches = [scored(branch_of(rows[2], 1, score=4.0), 1.0), scored(branch_of(rows[0], 0, score=2.0), 0.5)]
    made = outcomes([scored(row, 0.0) for row in rows[:2]], branches)
    assert made.branch_origin_K.tolist() == [0]
    assert made.branch_split_K.tolist() == [0]
    assert made.branch_rewards_K.tolist() == [0.5]
    assert made.branch_scores_K.tolist() == pytest.approx([2.0])
