"""Which candidates become branch points."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class BranchPoint:
    """Branch behind token `split` of row `row`."""

    row: int
    split: int
    score: float


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
        score_BL: branching scores.
        candidate_BL: bool; EOS, blanks, punctuation and tokens without room are excluded by the caller.
        group_B: group number of every row.

    Cost: O(budget * B * L) vectorised comparisons, no loop over tokens.
    """
    if budget <= 0 or score_BL.numel() == 0:
        return []
    work_BL = score_BL.masked_fill(~candidate_BL.bool(), -torch.inf)
    points: list[BranchPoint] = []
    for group in torch.unique(group_B).tolist():
        rows = torch.nonzero(group_B == group).squeeze(1)
        share = -(-budget // len(rows)) if per == "rollout" else budget
        points += sorted(_row_peaks(work_BL, rows, share, min_distance), key=_rank)[:budget]
    return points


def _rank(point: BranchPoint) -> tuple[float, int, int]:
    return (-point.score, point.row, point.split)


def _row_peaks(work_BL: Tensor, rows: Tensor, share: int, min_distance: int) -> list[BranchPoint]:
    """The best `share` points of each row, far enough apart: repeated maximum, blanking its neighbourhood."""
    work_RL = work_BL[rows].clone()
    position_L = torch.arange(work_RL.shape[1], device=work_RL.device)
    points: list[BranchPoint] = []
    for _ in range(share):
        best_R, split_R = work_RL.max(dim=1)
        found_R = torch.isfinite(best_R)
        if not bool(found_R.any()):
            break
        points += [
            BranchPoint(row, split, score)
            for row, split, score, found in zip(
                rows.tolist(), split_R.tolist(), best_R.tolist(), found_R.tolist(), strict=True
            )
            if found
        ]
        near_RL = (position_L[None, :] - split_R[:, None]).abs() <= min_distance
        work_RL = work_RL.masked_fill(near_RL, -torch.inf)
    return points
