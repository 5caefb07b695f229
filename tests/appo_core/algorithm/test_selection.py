"""Selection of branch points: budgets, distances, ties, and nothing when there is nothing."""

from collections import Counter
from typing import Literal

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appo_core.algorithm import BranchPoint, select_branch_points


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
