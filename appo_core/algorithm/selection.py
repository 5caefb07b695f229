"""Which candidates become branch points."""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from appo_core.algorithm.checks import check_shapes, check_vector
from appo_core.algorithm.peaks import Peaks


@dataclass(frozen=True)
class BranchPoint:
    """Branch behind token `split` of row `row`."""

    row: int
    split: int
    score: float


@torch.no_grad()
def select_branch_points(
    score_BL: Tensor,
    candidate_BL: Tensor,
    group_B: Tensor,
    *,
    budget: int,
    per: Literal["rollout", "prompt"] = "rollout",
    min_distance: int = 0,
) -> list[BranchPoint]:
    """At most `budget` branch points per group, best score first, ties to the earlier row and position.

    With `per` = `rollout` (the paper) every row gives its own best ceil(budget / rows) points and the group keeps the
    best `budget` of them; with `prompt` (the published code) the rows of a group compete for all points. Two points of
    one row are more than `min_distance` tokens apart. Fewer candidates give fewer points: nothing is repeated.

    Args:
        score_BL: branching scores; not read where there is no candidate (may be NaN there).
        candidate_BL: bool; EOS, blanks, punctuation and tokens without room are excluded by the caller.
        group_B: group number of every row.
        budget: most points per group, at least 1.

    Returns:
        The points, group by group in ascending order.

    Raises:
        ValueError: shapes differ, budget < 1, min_distance < 0, or a candidate's score is not finite.

    Cost: one pass over the scores, and then a few blocks of every row per point.
    """
    check_shapes(score_BL=score_BL, candidate_BL=candidate_BL)
    check_vector("group_B", group_B, len(score_BL), "score_BL with its rows")
    if budget < 1:
        raise ValueError(f"budget is {budget}: it must be at least 1 (without branches there is nothing to select)")
    if min_distance < 0:
        raise ValueError(f"min_distance is {min_distance}: it must not be negative")
    if not score_BL.numel():
        return []
    contest_CR, share = _contests(group_B, budget, per)
    points = Peaks(score_BL, candidate_BL, min_distance).take(contest_CR, share)
    group_of = group_B.tolist()
    found = sorted(
        (BranchPoint(*point) for point in points),
        key=lambda point: (group_of[point.row], -point.score, point.row, point.split),
    )
    grouped = groupby(found, key=lambda point: group_of[point.row])
    return [point for _, members in grouped for point in list(members)[:budget]]


def _contests(group_B: Tensor, budget: int, per: Literal["rollout", "prompt"]) -> tuple[Tensor, Tensor]:
    """Rows that compete with each other, one contest a line filled up with -1, and how many points each may win."""
    _, index_B, rows_G = torch.unique(group_B, return_inverse=True, return_counts=True)
    if per == "rollout":
        return torch.arange(len(group_B), device=group_B.device).unsqueeze(1), (-(-budget // rows_G))[index_B]
    order_B = index_B.argsort(stable=True)
    first_G = rows_G.cumsum(0) - rows_G
    place_B = torch.arange(len(order_B), device=order_B.device) - first_G[index_B[order_B]]
    contest_GR = order_B.new_full((len(rows_G), int(rows_G.max())), -1)
    contest_GR[index_B[order_B], place_B] = order_B
    return contest_GR, torch.full_like(rows_G, budget)
