"""Group, dual-group and scaled advantages against loops over the published definition."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appo_core.algorithm import dual_group_advantage, group_advantage, reward_scale
from tests.appo_core.algorithm.oracles import group_z

REWARD = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 1.0, 1.1])


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(REWARD, st.integers(0, 3)), max_size=16), normalize=st.booleans())
def test_group_advantage(rows: list[tuple[float, int]], normalize: bool) -> None:
    rewards, groups = [r for r, _ in rows], [g for _, g in rows]
    got = group_advantage(torch.tensor(rewards), torch.tensor(groups), normalize=normalize)
    assert got.tolist() == pytest.approx(group_z(rewards, groups, normalize=normalize), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
@pytest.mark.parametrize("reward", [0.1, -1.0, 1.1, 1 / 3, 0.0])
def test_equal_rewards_and_singletons_get_nothing(dtype: torch.dtype, size: int, reward: float) -> None:
    rewards_B = torch.full((size,), reward, dtype=dtype)
    assert not group_advantage(rewards_B, torch.zeros(size, dtype=torch.long)).any()


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[float], list[int], list[list[int]], list[tuple[float, int, int]]]:
    count, length = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    rewards = draw(st.lists(REWARD, min_size=count, max_size=count))
    groups = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    mask = [draw(st.lists(st.integers(0, 1), min_size=length, max_size=length)) for _ in range(count)]
    point = st.tuples(REWARD, st.integers(0, count - 1), st.integers(0, length - 1))
    return rewards, groups, mask, draw(st.lists(point, max_size=6))


@settings(max_examples=50)
@given(batch=batches(), reduce=st.sampled_from(["mean", "sum"]), normalize=st.booleans())
def test_dual_group_advantage_equals_the_loops(batch: tuple, reduce: str, normalize: bool) -> None:  # type: ignore[type-arg]
    rewards, groups, mask, branches = batch
    own = group_z(rewards, groups, normalize=normalize)
    branch = group_z([b[0] for b in branches], [groups[b[1]] for b in branches], normalize=normalize)
    expected = []
    for row, row_mask in enumerate(mask):
        line = []
        for t, m in enumerate(row_mask):
            credits = [
                a for a, (_, origin, split) in zip(branch, branches, strict=True) if origin == row and t <= split
            ]
            credit = sum(credits) / (len(credits) if reduce == "mean" else 1) if credits else 0.0
            line.append((own[row] + credit) * m)
        expected.append(line)
    got = dual_group_advantage(
        torch.tensor(rewards, dtype=torch.float64),
        torch.tensor(groups),
        torch.tensor(mask),
        branch_rewards_K=torch.tensor([b[0] for b in branches], dtype=torch.float64),
        branch_origin_K=torch.tensor([b[1] for b in branches], dtype=torch.long),
        branch_split_K=torch.tensor([b[2] for b in branches], dtype=torch.long),
        normalize=normalize,
        reduce=reduce,  # type: ignore[arg-type]
    )
    assert [value for line in got.tolist() for value in line] == pytest.approx(
        [value for line in expected for value in line], abs=1e-9
    )


@settings(max_examples=30)
@given(
    branches=st.lists(
        st.tuples(st.floats(-1, 2).map(lambda x: round(x, 2)), st.integers(0, 2), st.integers(0, 5)), max_size=5
    )
)
def test_reward_scale_is_the_mean_factor(branches: list[tuple[float, int, int]]) -> None:
    top = max((score for score, _, _ in branches), default=0.0)
    got = reward_scale(
        torch.ones(3, 6),
        branch_scores_K=torch.tensor([b[0] for b in branches], dtype=torch.float64),
        branch_origin_K=torch.tensor([b[1] for b in branches], dtype=torch.long),
        branch_split_K=torch.tensor([b[2] for b in branches], dtype=torch.long),
        discount=0.9,
    )
    for row in range(3):
        for t in range(6):
            factors = [
                1.0 + (score / top) * 0.9 ** (split - t) if t <= split and score > 0 else 1.0
                for score, origin, split in branches
                if origin == row
            ]
            expected = sum(factors) / len(factors) if factors and top > 0 else 1.0
            assert got[row, t].item() == pytest.approx(expected, abs=1e-9)


BRANCHES = {"branch_origin_K": torch.tensor([0, 0, 1]), "branch_split_K": torch.tensor([0, 2, 1])}


def test_dual_group_worked_by_hand() -> None:
    """Two rollouts (1 and 0) give 1 and -1; branches 1, 0, 0 are worth sqrt 2, -1/sqrt 2, -1/sqrt 2."""
    mask_BL = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 0]])
    got = dual_group_advantage(
        torch.tensor([1.0, 0.0]), torch.zeros(2), mask_BL, branch_rewards_K=torch.tensor([1.0, 0.0, 0.0]), **BRANCHES
    )
    root = math.sqrt(0.5)
    expected = [[1 + (2 * root - root) / 2, 1 - root, 0.0, 1.0], [-1 - root, -1 - root, -1.0, 0.0]]
    torch.testing.assert_close(got, torch.tensor(expected))


def test_without_branches_every_token_gets_its_rollouts_own() -> None:
    none, mask_BL = torch.zeros(0), torch.tensor([[1, 0], [1, 1]])
    got = dual_group_advantage(
        torch.tensor([1.0, 0.0]),
        torch.zeros(2),
        mask_BL,
        branch_rewards_K=none,
        branch_origin_K=none.long(),
        branch_split_K=none.long(),
    )
    assert got.tolist() == [[1.0, 0.0], [-1.0, -1.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_B": torch.zeros(3)}, r"group_B has shape \(3,\), but rewards_B needs shape \(2,\)"),
        ({"rewards_B": torch.zeros(3)}, r"rewards_B has shape \(3,\), but mask_BL with its rows needs shape \(2,\)"),
        ({"rewards_B": torch.tensor([0.0, math.nan])}, r"rewards_B\[1\] is nan"),
        ({"branch_rewards_K": torch.tensor([0.0, 1.0, math.inf])}, r"branch_rewards_K\[2\] is inf"),
        ({"branch_rewards_K": torch.zeros(2)}, r"branch_origin_K has shape \(3,\)"),
        ({"branch_split_K": torch.tensor([0])}, r"branch_split_K has shape \(1,\)"),
        ({"branch_origin_K": torch.tensor([0, 2, 1])}, r"branch_origin_K\[1\] is 2, but mask_BL's rows are 2"),
        ({"branch_split_K": torch.tensor([0, 1, 4])}, r"branch_split_K\[2\] is 4, but mask_BL's tokens are 4"),
        ({"branch_split_K": torch.tensor([-1, 1, 2])}, r"branch_split_K\[0\] is -1"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "rewards_B": torch.zeros(2), "group_B": torch.zeros(2), "mask_BL": torch.ones(2, 4),
        "branch_rewards_K": torch.zeros(3), **BRANCHES,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        dual_group_advantage(**(good | change))


def test_reward_scale_refuses_what_lies_outside() -> None:
    with pytest.raises(ValueError, match=r"discount is 1.5"):
        reward_scale(torch.ones(2, 4), branch_scores_K=torch.ones(3), **BRANCHES, discount=1.5)
    with pytest.raises(ValueError, match=r"branch_split_K\[1\] is 2"):
        reward_scale(torch.ones(2, 2), branch_scores_K=torch.ones(3), **BRANCHES, discount=0.5)
