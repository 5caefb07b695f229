"""Discounted sums over the future, in linear time.

Shape suffixes in this package: B rows (trajectories), L tokens, V vocabulary entries; here also K tokens of a block, X
blocks of all rows, P blocks among them that hold both generated and injected tokens.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from appo_core.algorithm.checks import check_finite, check_gamma, check_shapes
from appo_core.algorithm.masking import Mask, count_set, zero_outside
from appo_core.algorithm.recurrence import backward_recurrence, one_earlier
from appo_core.algorithm.rows import fresh, pieces

BLOCK = 32
"""Tokens per block: the work per token inside a block grows with it, the work between blocks shrinks."""


def discounted_future_sum(x_BL: Tensor, mask_BL: Tensor, gamma: float) -> Tensor:
    """Sum of x over this and all later generated tokens, discounted once per generated token.

    ``S_t = sum over k >= t of gamma^(n(t, k)) * m_k * x_k`` with n(t, k) the number of generated tokens (m = 1) in
    [t, k): injected tokens neither contribute nor discount. Source: APPO, future value of a token. Work and memory
    O(B L), at any gamma.

    Args:
        x_BL: values, any float type; not read where the mask is 0 (may be NaN there).
        mask_BL: 1 at generated tokens.
        gamma: discount in [0, 1].

    Returns:
        (B, L) sums, of x's type; differentiable in x.

    Raises:
        ValueError: shapes differ, gamma is outside [0, 1], or x is not finite at a generated token.
    """
    check_shapes(x_BL=x_BL, mask_BL=mask_BL)
    check_gamma(gamma)
    mask_BL = mask_BL.bool()
    if torch.is_grad_enabled() and x_BL.requires_grad:
        kept_BL = zero_outside(x_BL, mask_BL)
        sum_BL = future_sums(kept_BL, -mask_BL.int(), gamma)
    else:
        sum_BL = fresh(x_BL.shape, x_BL.dtype, x_BL.device)
        for rows, (memory_BL, kept_BL) in pieces(x_BL, 2):
            mask = Mask(mask_BL[rows], memory_BL)
            future_sums(mask.keep(x_BL[rows], kept_BL), mask.bits_BL, gamma, out_BL=sum_BL[rows])
    check_finite(sum_BL[:, :1].sum(1), mask_BL, x_BL=x_BL)
    return sum_BL


def future_sums(x_BL: Tensor, bits_BL: Tensor, gamma: float, *, out_BL: Tensor | None = None) -> Tensor:
    """The sums of x, which is 0 outside the mask whose wide form is `bits_BL`, unchecked; written to `out_BL` if given.

    A sum splits at the end of its token's block into what is inside the block, a product with the triangular matrix
    ``gamma^(k - t)``, and ``gamma^(tokens to the end)`` times the sum behind it, a recurrence from block to block. All
    weights are at most 1 and nothing is divided by them, so nothing overflows or cancels.
    """
    rows, length = x_BL.shape
    if not x_BL.numel():
        return x_BL.clone()
    if length % BLOCK or x_BL.element_size() < 4:
        sum_BL = future_sums(*_whole_blocks(x_BL, bits_BL), gamma)[:, :length].to(x_BL.dtype)
        return sum_BL if out_BL is None else out_BL.copy_(sum_BL)
    x_XK, bits_XK = x_BL.reshape(-1, BLOCK), bits_BL.reshape(-1, BLOCK)
    out_XK = None if out_BL is None else out_BL.view(-1, BLOCK)
    power_K = (gamma ** torch.arange(BLOCK + 1, dtype=torch.float64)).to(x_BL)
    distance_KK = torch.arange(BLOCK).unsqueeze(1) - torch.arange(BLOCK)
    weight_KK = power_K[distance_KK.clamp_min(0).to(x_BL.device)].tril()

    count_X = count_set(bits_XK)
    sum_XK = torch.mm(x_XK, weight_KK, out=out_XK)
    mixed_P = ((count_X > 0) & (count_X < BLOCK)).nonzero().squeeze(1)
    inside_PK, left_PK = _mixed_blocks(x_XK[mixed_P], -bits_XK[mixed_P].long(), weight_KK)

    first_X = sum_XK[:, 0].index_copy(0, mixed_P, inside_PK[:, 0])
    first_NB, decay_NB = (y_X.view(rows, -1).t().contiguous() for y_X in (first_X, power_K[count_X.long()]))
    behind_X1 = one_earlier(backward_recurrence(first_NB, decay_NB)).t().reshape(-1, 1)

    sum_XK = torch.addcmul(sum_XK, behind_X1, power_K[1:].flip(0), out=out_XK)
    sum_XK.index_copy_(0, mixed_P, torch.addcmul(inside_PK, behind_X1[mixed_P], power_K[left_PK]))
    injected_P = ((count_X == 0) & (behind_X1.squeeze(1) != 0)).nonzero().squeeze(1)
    sum_XK.index_copy_(0, injected_P, behind_X1[injected_P].expand(-1, BLOCK))
    return sum_XK.view(rows, length)


def _whole_blocks(x_BL: Tensor, bits_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Rows filled up to whole blocks with tokens that are not generated, in float32 at least."""
    missing = -x_BL.shape[1] % BLOCK
    return pad(x_BL.float() if x_BL.element_size() < 4 else x_BL, (0, missing)), pad(bits_BL, (0, missing))


def _mixed_blocks(x_PK: Tensor, mask_PK: Tensor, weight_KK: Tensor) -> tuple[Tensor, Tensor]:
    """Sums inside blocks that are only partly generated, and how many generated tokens of the block every token has
    from itself on: the generated ones are moved together, summed like a full block, and every token reads its place."""
    place_PK = mask_PK.cumsum(1) - mask_PK
    together_PK = torch.zeros_like(x_PK).scatter_add(1, place_PK, x_PK)
    return (together_PK @ weight_KK).gather(1, place_PK), mask_PK.sum(1, keepdim=True) - place_PK
