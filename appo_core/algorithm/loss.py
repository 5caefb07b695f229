"""The future-KL policy loss and its parts, on tensors of any layout that keeps a row's tokens in order."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from appo_core.algorithm.scan import discounted_future_sum
from appo_core.algorithm.score import LOG_RATIO_BOUND
from appo_core.config.algorithm import LossSettings

KL_BOUND = 10.0
"""Bound of the per-token k3 estimate."""


@dataclass(frozen=True)
class PolicyLoss:
    """Sums over tokens, to be divided by the global token count, and diagnostics."""

    loss_sum: Tensor
    """Scalar with gradient: sum of the policy loss over kept tokens."""
    kept_BL: Tensor
    """Bool: tokens that the sequence filter left in."""
    future_weight_BL: Tensor
    ratio_BL: Tensor
    clipped_BL: Tensor
    """Bool: tokens at which the clip was active."""


def log_ratio(logp_BL: Tensor, logp_old_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Bounded ``log pi - log pi_old``, 0 outside the mask."""
    difference_BL = (logp_BL - logp_old_BL).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    return difference_BL.where(mask_BL.bool(), torch.zeros_like(difference_BL))


def future_kl_weight(log_ratio_BL: Tensor, advantage_BL: Tensor, mask_BL: Tensor, settings: LossSettings) -> Tensor:
    """The factor f: clipped exponential of the discounted future log-ratio, without gradient.

    ``F_t = sum over k >= t of gamma^(k-t) Delta_k P_k``, gamma = 2^(-1/half-life); P drops tokens whose ratio exceeds
    the dual-clip constant. ``f = clip(exp F, lo, 1 + eps)`` with lo = 1 when only the upper side is open, else 1 - eps.
    A token with a negative advantage and a ratio above the safety threshold gets f in [0.8, 1]. Source: FIPO / APPO.
    """
    with torch.no_grad():
        delta_BL = log_ratio_BL.detach()
        taking_part_BL = mask_BL.bool() & (delta_BL <= math.log(settings.clip_ratio_c))
        gamma = 2.0 ** (-1.0 / settings.future_kl_decay)
        summand_BL = delta_BL.where(taking_part_BL, torch.zeros_like(delta_BL))
        future_BL = discounted_future_sum(summand_BL, mask_BL, gamma).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
        eps = settings.future_kl_clip
        factor_BL = future_BL.exp().clamp(1.0 if settings.future_kl_clip_high_only else 1.0 - eps, 1.0 + eps)
        unsafe_BL = (advantage_BL < 0) & (delta_BL > math.log(settings.safety_ratio))
        return torch.where(unsafe_BL, factor_BL.clamp(0.8, 1.0), factor_BL)


def policy_loss(
    logp_BL: Tensor, logp_old_BL: Tensor, advantage_BL: Tensor, mask_BL: Tensor, settings: LossSettings
) -> PolicyLoss:
    """Dual-clip PPO loss on advantages ``A (1 + b f)``.

    ``l = max(-A r, -A clip(r, 1 - low, 1 + high))``; for A < 0 it is bounded by ``-A c``. With the sequence filter, a
    row in which more than one negative-advantage token passes that bound is left out. Shapes (B, L).
    """
    mask_BL = mask_BL.bool()
    delta_BL = log_ratio(logp_BL, logp_old_BL, mask_BL)
    ratio_BL = delta_BL.exp()
    weight_BL = torch.ones_like(advantage_BL)
    if settings.future_kl:
        weight_BL = future_kl_weight(delta_BL, advantage_BL, mask_BL, settings)
        advantage_BL = advantage_BL * (1.0 + settings.future_kl_weight * weight_BL)
    plain_BL = -advantage_BL * ratio_BL
    clipped_BL = -advantage_BL * ratio_BL.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    loss_BL = torch.maximum(plain_BL, clipped_BL)
    bound_BL = -advantage_BL * settings.clip_ratio_c
    beyond_BL = mask_BL & (advantage_BL < 0) & (loss_BL > bound_BL)
    loss_BL = torch.where(advantage_BL < 0, torch.minimum(bound_BL, loss_BL), loss_BL)
    kept_BL = mask_BL
    if settings.sequence_filter:
        kept_BL = mask_BL & (beyond_BL.sum(dim=1, keepdim=True) <= 1)
    return PolicyLoss(
        loss_sum=loss_BL.where(kept_BL, torch.zeros_like(loss_BL)).sum(),
        kept_BL=kept_BL,
        future_weight_BL=weight_BL,
        ratio_BL=ratio_BL.detach(),
        clipped_BL=mask_BL & (clipped_BL > plain_BL),
    )


def kl_k3(logp_BL: Tensor, logp_reference_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Per-token k3 estimate of KL(pi || reference): ``e^u - u - 1`` with u = log reference - log pi, bounded; 0 outside
    the mask. Shape (B, L). Source: Schulman, Approximating KL divergence."""
    u_BL = log_ratio(logp_reference_BL, logp_BL, mask_BL)
    return (u_BL.exp() - u_BL - 1.0).clamp(-KL_BOUND, KL_BOUND)
