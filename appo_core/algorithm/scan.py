"""Discounted sums over the future, in log-many parallel passes.

Shape suffixes in this package: B rows (trajectories), L tokens, V vocabulary entries.
"""

import torch
from torch import Tensor


def discounted_future_sum(x_BL: Tensor, mask_BL: Tensor, gamma: float) -> Tensor:
    """Sum of x over this and all later generated tokens, discounted once per generated token.

    ``S_t = sum over k >= t of gamma^(n(t, k)) * m_k * x_k`` with n(t, k) the number of generated tokens (m = 1) in
    [t, k): injected tokens neither contribute nor discount. Source: APPO, future value of a token.

    The recurrence ``S_t = m_t x_t + gamma^(m_t) S_(t+1)`` is associative, so it is solved by doubling: after pass i,
    every position holds the sum over the next 2^i positions. Work O(L log L), memory O(L), valid at gamma 0 and 1.

    Args:
        x_BL: values, any float type; not read where the mask is 0 (may be NaN there).
        mask_BL: 1 at generated tokens.
        gamma: discount in [0, 1].

    Returns:
        (B, L) sums, of x's type.
    """
    mask_BL = mask_BL.bool()
    sum_BL = torch.where(mask_BL, x_BL, torch.zeros_like(x_BL))
    decay_BL = torch.where(mask_BL, torch.full_like(x_BL, gamma), torch.ones_like(x_BL))
    length, reach = x_BL.shape[1], 1
    while reach < length:
        near = slice(0, length - reach)
        far = slice(reach, length)
        sum_BL = torch.cat([sum_BL[:, near] + decay_BL[:, near] * sum_BL[:, far], sum_BL[:, length - reach :]], dim=1)
        decay_BL = torch.cat([decay_BL[:, near] * decay_BL[:, far], decay_BL[:, length - reach :]], dim=1)
        reach *= 2
    return sum_BL
