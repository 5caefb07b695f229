"""From the scored rollouts and branches of all ranks to what a method computes advantages from."""

from collections.abc import Iterable, Sequence

import torch

from appo_core.methods import Outcomes
from appo_core.training.experience import Scored, group_tensor, mask_tensor, reward_tensor


def in_order(parts: Iterable[Sequence[Scored]]) -> list[Scored]:
    """The rows of all ranks in an order that does not depend on how many ranks there are."""
    return sorted((row for part in parts for row in part), key=_place)


def _place(row: Scored) -> tuple[int, str]:
    place, _, _ = row.trajectory.group.partition("/")
    return (int(place) if place.isdigit() else 0, row.trajectory.uid)


def outcomes(rows: Sequence[Scored], branches: Sequence[Scored]) -> Outcomes:
    """Rows and branches as tensors; a branch whose origin was left out is left out too."""
    trajectories = [row.trajectory for row in rows]
    row_of = {trajectory.uid: number for number, trajectory in enumerate(trajectories)}
    lending = [
        (branch, prefix)
        for branch in branches
        if (prefix := branch.trajectory.prefix) is not None and prefix.origin in row_of
    ]
    return Outcomes(
        rewards_B=reward_tensor(rows),
        group_B=group_tensor(trajectories),
        mask_BL=mask_tensor(trajectories),
        branch_rewards_K=reward_tensor([branch for branch, _ in lending]),
        branch_origin_K=torch.tensor([row_of[prefix.origin] for _, prefix in lending], dtype=torch.long),
        branch_split_K=torch.tensor([prefix.split for _, prefix in lending], dtype=torch.long),
        branch_scores_K=torch.tensor([prefix.score for _, prefix in lending], dtype=torch.float64),
    )
