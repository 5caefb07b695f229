"""Advantages: within the initial group, within the branch group, and from branches back to their origin's tokens."""

from typing import Literal

import torch
from torch import Tensor


def group_advantage(rewards_B: Tensor, group_B: Tensor, *, normalize: bool = True) -> Tensor:
    """Rewards relative to their group: ``(R_i - mean_g) / std_g`` with population deviation.

    A group of one, or of equal rewards, gets 0. Without `normalize` the division is left out (Dr. GRPO). Shape (B,).
    """
    if rewards_B.numel() == 0:
        return rewards_B.clone()
    _, index_B = torch.unique(group_B, return_inverse=True)
    groups = int(index_B.max()) + 1
    zeros_G = torch.zeros(groups, dtype=rewards_B.dtype, device=rewards_B.device)
    count_G = zeros_G.index_add(0, index_B, torch.ones_like(rewards_B))
    mean_G = zeros_G.index_add(0, index_B, rewards_B) / count_G
    centred_B = rewards_B - mean_G[index_B]
    if not normalize:
        return centred_B
    deviation_G = (zeros_G.index_add(0, index_B, centred_B.square()) / count_G).sqrt()
    rounding_G = 8 * torch.finfo(rewards_B.dtype).eps * mean_G.abs()
    usable_B = (deviation_G > rounding_G.clamp_min(torch.finfo(rewards_B.dtype).tiny))[index_B]
    return torch.where(usable_B, centred_B / deviation_G[index_B].clamp_min(1e-12), torch.zeros_like(centred_B))


def dual_group_advantage(
    rewards_B: Tensor,
    group_B: Tensor,
    mask_BL: Tensor,
    *,
    branch_rewards_K: Tensor,
    branch_origin_K: Tensor,
    branch_split_K: Tensor,
    normalize: bool = True,
    reduce: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Token advantages of the initial rollouts, with branch outcomes credited to the tokens that led to them.

    A token's advantage is its rollout's own plus the mean (or sum) of the advantages of the branches that leave its
    rollout at or after it. Own advantages are z-scores among the initial rollouts of a prompt, branch advantages
    z-scores among the branches of that prompt. Source: APPO, dual-group advantage.

    Args:
        rewards_B, group_B, mask_BL: initial rollouts; mask 1 at generated tokens.
        branch_rewards_K: rewards of the branches; branch_origin_K: row each one left from; branch_split_K: index of
            its branch token.

    Returns:
        (B, L) advantages, 0 outside the mask.
    """
    own_B = group_advantage(rewards_B, group_B, normalize=normalize)
    branch_K = group_advantage(branch_rewards_K, group_B[branch_origin_K], normalize=normalize)
    leaving_BL = torch.zeros(mask_BL.shape, dtype=rewards_B.dtype, device=rewards_B.device)
    count_BL = torch.zeros_like(leaving_BL)
    where = (branch_origin_K, branch_split_K)
    leaving_BL = leaving_BL.index_put(where, branch_K, accumulate=True)
    count_BL = count_BL.index_put(where, torch.ones_like(branch_K), accumulate=True)
    later_BL, later_count_BL = _at_or_after(leaving_BL), _at_or_after(count_BL)
    credit_BL = later_BL / later_count_BL.clamp_min(1) if reduce == "mean" else later_BL
    return (own_B[:, None] + credit_BL) * mask_BL.to(own_B.dtype)


def reward_scale(
    mask_BL: Tensor, *, branch_scores_K: Tensor, branch_origin_K: Tensor, branch_split_K: Tensor, discount: float
) -> Tensor:
    """The published factor M as a scale of *token advantages* (where it is not inert): mean over a row's branches of
    ``1 + (s / s_max) discount^(t_b - t)`` at t <= t_b and 1 behind. Shape (B, L); ones without positive scores."""
    scale_BL = torch.ones(mask_BL.shape, dtype=branch_scores_K.dtype, device=mask_BL.device)
    top = branch_scores_K.max() if branch_scores_K.numel() else None
    if top is None or top <= 0:
        return scale_BL
    position_L = torch.arange(mask_BL.shape[1], device=mask_BL.device)
    distance_KL = branch_split_K[:, None] - position_L[None, :]
    share_K1 = (branch_scores_K.clamp_min(0) / top)[:, None]
    decay_KL = discount ** distance_KL.clamp_min(0).to(share_K1.dtype)
    extra_KL = (share_K1 * decay_KL).where(distance_KL >= 0, torch.zeros_like(share_K1))
    total_BL = torch.zeros_like(scale_BL).index_add(0, branch_origin_K, extra_KL.to(scale_BL.dtype))
    count_B = torch.zeros_like(scale_BL[:, 0]).index_add(0, branch_origin_K, torch.ones_like(branch_scores_K))
    return scale_BL + total_BL / count_B.clamp_min(1)[:, None]


def _at_or_after(x_BL: Tensor) -> Tensor:
    return x_BL.flip(1).cumsum(1).flip(1)
