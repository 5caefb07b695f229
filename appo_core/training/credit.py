"""From scored rollouts and branches to token advantages."""

from collections.abc import Sequence

import torch
from torch import Tensor

from appo_core.algorithm import dual_group_advantage, group_advantage, reward_scale
from appo_core.config.algorithm import AdvantageSettings
from appo_core.rollout.types import Trajectory
from appo_core.training.experience import Scored, group_tensor, mask_tensor, reward_tensor


def token_advantages(rows: Sequence[Scored], branches: Sequence[Scored], settings: AdvantageSettings) -> Tensor:
    """(B, L) float32 advantages of the initial rollouts; branches only lend their rewards."""
    trajectories = [row.trajectory for row in rows]
    mask_BL, group_B, reward_B = mask_tensor(trajectories), group_tensor(trajectories), reward_tensor(rows)
    if not branches or not settings.dual_group:
        own_B = group_advantage(reward_B, group_B, normalize=settings.normalize)
        return (own_B[:, None] * mask_BL).float()
    origin_K, split_K = _origins(trajectories, branches)
    advantage_BL = dual_group_advantage(
        reward_B,
        group_B,
        mask_BL,
        branch_rewards_K=reward_tensor(branches),
        branch_origin_K=origin_K,
        branch_split_K=split_K,
        normalize=settings.normalize,
        reduce=settings.branch_reduce,
    )
    if settings.reward_scaling:
        scores_K = torch.tensor([branch.trajectory.prefix.score for branch in branches if branch.trajectory.prefix])
        advantage_BL = advantage_BL * reward_scale(
            mask_BL,
            branch_scores_K=scores_K.double(),
            branch_origin_K=origin_K,
            branch_split_K=split_K,
            discount=settings.reward_scale_discount,
        )
    return advantage_BL.float()


def _origins(trajectories: Sequence[Trajectory], branches: Sequence[Scored]) -> tuple[Tensor, Tensor]:
    row_of = {trajectory.uid: row for row, trajectory in enumerate(trajectories)}
    prefixes = [branch.trajectory.prefix for branch in branches if branch.trajectory.prefix]
    return (
        torch.tensor([row_of[prefix.origin] for prefix in prefixes]),
        torch.tensor([prefix.split for prefix in prefixes]),
    )
