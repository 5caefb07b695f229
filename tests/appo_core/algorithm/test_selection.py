"""Selection of branch points: budgets, distances, ties, and nothing when there is nothing."""

import math
from collections import Counter
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appo_core.algorithm import BranchPoint, select_branch_points
from appo_core.algorithm.peaks import BLOCK


def oracle(
    scores: list[list[float]],
    candidates: list[list[bool]],
    groups: list[int],
    budget: int,
    per: str,
    distance: int,
) -> list[tuple[int, int]]:
    """Greedy selection over sorted lists."""
    picked: list[tuple[int, int]] = []
    for group in sorted(set(groups)):
        rows = [row for row, g in enumerate(groups) if g == group]
        share = -(-budget // len(rows)) if per == "rollout" else budget
        pool: list[tuple[float, int, int]] = []
        for row in rows:
            order = sorted((t for t, c in enumerate(candidates[row]) if c), key=lambda t: (-scores[row][t], t))
            own: list[int] = []
            for t in order:
                if len(own) < share and all(abs(t - other) > distance for other in own):
                    own.append(t)
            pool += [(-scores[row][t], row, t) for t in own]
        picked += [(row, t) for _, row, t in sorted(pool)[:budget]]
    return picked


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[list[float]], list[list[bool]], list[int]]:
    rows, length = draw(st.integers(1, 5)), draw(st.integers(1, 15))
    value = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0])
    scores = [draw(st.lists(value, min_size=length, max_size=length)) for _ in range(rows)]
    candidates = [draw(st.lists(st.booleans(), min_size=length, max_size=length)) for _ in range(rows)]
    return scores, candidates, draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))


@settings(max_examples=60)
@given(
    problem=problems(), budget=st.integers(1, 7), per=st.sampled_from(["rollout", "prompt"]), distance=st.integers(0, 4)
)
def test_selection_equals_greedy_lists(
    problem: tuple[list[list[float]], list[list[bool]], list[int]],
    budget: int,
    per: Literal["rollout", "prompt"],
    distance: int,
) -> None:
    scores, candidates, groups = problem
    points = select_branch_points(
        torch.tensor(scores),
        torch.tensor(candidates),
        torch.tensor(groups),
        budget=budget,
        per=per,
        min_distance=distance,
    )
    places = [(point.row, point.split) for point in points]
    assert places == oracle(scores, candidates, groups, budget, per, distance)
    assert len(set(places)) == len(places)
    assert all(count <= budget for count in Counter(groups[row] for row, _ in places).values())
    assert all(candidates[row][split] for row, split in places)
    assert all(a[0] != b[0] or a == b or abs(a[1] - b[1]) > distance for a in places for b in places)
    assert all(point.score == scores[point.row][point.split] for point in points)


def test_per_rollout_gives_every_rollout_its_share_and_per_prompt_the_best_of_all() -> None:
    """Pooled selection may give one rollout the whole budget (the published code); the paper's does not."""
    score_BL = torch.tensor([[9.0, 8.0, 7.0, 6.0], [1.0, 2.0, 3.0, 4.0]])
    everything, group_B = torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, dtype=torch.long)
    rollout = select_branch_points(score_BL, everything, group_B, budget=4)
    prompt = select_branch_points(score_BL, everything, group_B, budget=4, per="prompt")
    assert Counter(point.row for point in rollout) == {0: 2, 1: 2}
    assert Counter(point.row for point in prompt) == {0: 4}


def test_odd7_no_candidates_give_no_points() -> None:
    """ODD-7: the published run aborted when a prompt offered fewer branch points than asked for."""
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    group_B = torch.tensor([0, 1])
    assert select_branch_points(torch.rand(2, 5), nothing, group_B, budget=3) == []
    one = nothing.clone()
    one[1, 2] = True
    assert select_branch_points(torch.ones(2, 5), one, group_B, budget=3) == [BranchPoint(1, 2, 1.0)]
    assert select_branch_points(torch.zeros(0, 0), nothing[:0, :0], group_B[:0], budget=3) == []
    assert select_branch_points(torch.zeros(2, 0), nothing[:, :0], group_B, budget=3) == []


@pytest.mark.parametrize("per", ["rollout", "prompt"])
@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 1000])
@pytest.mark.parametrize("distance", [0, 4, BLOCK, 300, 10_000])
def test_long_rows_with_ties_across_blocks(per: Literal["rollout", "prompt"], length: int, distance: int) -> None:
    torch.manual_seed(length + distance)
    score_BL = torch.randint(-3, 4, (7, length)).float()
    candidate_BL = torch.rand(7, length) < 0.5
    group_B = torch.tensor([2, 0, 2, 1, 2, 0, 2])
    points = select_branch_points(score_BL, candidate_BL, group_B, budget=9, per=per, min_distance=distance)
    wanted = oracle(score_BL.tolist(), candidate_BL.tolist(), group_B.tolist(), 9, per, distance)
    assert [(point.row, point.split) for point in points] == wanted


def test_what_is_no_candidate_is_never_read_and_inputs_stay_as_they_are() -> None:
    score_BL = torch.tensor([[math.nan, 1.0, math.inf, 0.5]])
    candidate_BL = torch.tensor([[False, True, False, True]])
    points = select_branch_points(score_BL, candidate_BL, torch.zeros(1), budget=3)
    assert points == [BranchPoint(0, 1, 1.0), BranchPoint(0, 3, 0.5)]
    assert candidate_BL.tolist() == [[False, True, False, True]]


def test_permuted_rows_give_permuted_points() -> None:
    torch.manual_seed(0)
    score_BL, group_B = torch.rand(6, 200), torch.tensor([0, 0, 1, 1, 1, 0])
    everything = torch.ones(6, 200, dtype=torch.bool)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    plain = select_branch_points(score_BL, everything, group_B, budget=5, min_distance=3)
    moved = select_branch_points(score_BL[order], everything, group_B[order], budget=5, min_distance=3)
    assert [(int(order[p.row]), p.split, p.score) for p in moved] == [(p.row, p.split, p.score) for p in plain]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"budget": -1}, "budget is -1"),
        ({"min_distance": -1}, "min_distance is -1"),
        ({"group_B": torch.zeros(3)}, r"group_B has shape \(3,\).*\(2,\)"),
        ({"candidate_BL": torch.ones(2, 5)}, r"candidate_BL has shape \(2, 5\), but score_BL has shape \(2, 4\)"),
        ({"score_BL": torch.tensor([[0.0] * 4, [0.0, 1.0, math.nan, 2.0]])}, "score_BL is nan at row 1, position 2"),
        ({"score_BL": torch.tensor([[0.0] * 4, [0.0, math.inf, 1.0, 2.0]])}, "score_BL is inf at row 1, position 1"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "score_BL": torch.zeros(2, 4), "candidate_BL": torch.ones(2, 4), "group_B": torch.zeros(2), "budget": 1
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        select_branch_points(**(good | change))
