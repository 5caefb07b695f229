"""Advantages: within the initial group, within the branch group, and from branches back to their origin's tokens."""

from typing import Literal

import torch
from torch import Tensor

from appo_core.algorithm.checks import check_gamma, check_index, check_vector
from appo_core.algorithm.scan import discounted_future_sum


def group_advantage(rewards_B: Tensor, group_B: Tensor, *, normalize: bool = True) -> Tensor:
    """Rewards relative to their group: ``(R_i - mean_g) / std_g`` with population deviation.

    A group of one, or of equal rewards, gets 0. Without `normalize` the division is left out (Dr. GRPO). Shape (B,).
    ValueError unless the vectors are of one length and the rewards are finite.
    """
    _check_rewards("rewards_B", rewards_B, "group_B", group_B)
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
            its branch token. There may be none.

    Returns:
        (B, L) advantages, 0 outside the mask.

    Raises:
        ValueError: lengths differ, a reward is not finite, or an origin or split lies outside mask_BL.
    """
    check_vector("rewards_B", rewards_B, len(mask_BL), "mask_BL with its rows")
    _check_branches(mask_BL, branch_rewards_K, "branch_rewards_K", branch_origin_K, branch_split_K)
    own_B = group_advantage(rewards_B, group_B, normalize=normalize)
    _check_rewards("branch_rewards_K", branch_rewards_K, "branch_origin_K", branch_origin_K)
    branch_K = group_advantage(branch_rewards_K, group_B[branch_origin_K], normalize=normalize)
    leaving_BL = torch.zeros(mask_BL.shape, dtype=rewards_B.dtype, device=rewards_B.device)
    count_BL = torch.zeros_like(leaving_BL)
    where = (branch_origin_K, branch_split_K)
    leaving_BL.index_put_(where, branch_K.to(leaving_BL), accumulate=True)
    count_BL.index_put_(where, torch.ones_like(branch_K).to(count_BL), accumulate=True)
    later_BL, later_count_BL = _at_or_after(leaving_BL), _at_or_after(count_BL)
    credit_BL = later_BL / later_count_BL.clamp_min(1) if reduce == "mean" else later_BL
    return (own_B[:, None] + credit_BL) * mask_BL.to(own_B.dtype)


def reward_scale(
    mask_BL: Tensor, *, branch_scores_K: Tensor, branch_origin_K: Tensor, branch_split_K: Tensor, discount: float
) -> Tensor:
    """The published factor M as a scale of *token advantages* (where it is not inert): mean over a row's branches of
    ``1 + (s / s_max) discount^(t_b - t)`` at t <= t_b and 1 behind. Shape (B, L); ones without positive scores.

    ValueError where lengths differ, the discount is outside [0, 1], or an origin or split lies outside mask_BL.
    """
    check_gamma(discount, "discount")
    _check_branches(mask_BL, branch_scores_K, "branch_scores_K", branch_origin_K, branch_split_K)
    ones_BL = torch.ones(mask_BL.shape, dtype=branch_scores_K.dtype, device=mask_BL.device)
    top = branch_scores_K.max() if branch_scores_K.numel() else None
    if top is None or top <= 0:
        return ones_BL
    share_K = branch_scores_K.clamp_min(0) / top
    share_BL = torch.zeros_like(ones_BL).index_put((branch_origin_K, branch_split_K), share_K, accumulate=True)
    count_B = torch.zeros_like(ones_BL[:, 0]).index_add(0, branch_origin_K, torch.ones_like(branch_scores_K))
    return ones_BL + discounted_future_sum(share_BL, ones_BL, discount) / count_B.clamp_min(1)[:, None]


def _at_or_after(x_BL: Tensor) -> Tensor:
    return x_BL.flip(1).cumsum(1).flip(1)


def _check_rewards(name: str, rewards_B: Tensor, other: str, other_B: Tensor) -> None:
    check_vector(other, other_B, rewards_B.numel(), name)
    bad_B = (~torch.isfinite(rewards_B)).nonzero()
    if len(bad_B):
        raise ValueError(f"{name}[{int(bad_B[0])}] is {float(rewards_B[bad_B[0]])}: a reward must be finite")


def _check_branches(mask_BL: Tensor, values_K: Tensor, name: str, origin_K: Tensor, split_K: Tensor) -> None:
    check_vector("branch_origin_K", origin_K, values_K.numel(), name)
    check_vector("branch_split_K", split_K, values_K.numel(), name)
    check_index("branch_origin_K", origin_K, mask_BL.shape[0], "mask_BL's rows")
    check_index("branch_split_K", split_K, mask_BL.shape[1], "mask_BL's tokens")
