"""Z-scores within a row, over its generated tokens."""

import torch
from torch import Tensor

from appo_core.algorithm.checks import check_finite, check_shapes
from appo_core.algorithm.masking import Mask
from appo_core.algorithm.rows import fresh, pieces


@torch.no_grad()
def z_score(x_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Z-score within every row over its generated tokens, with population deviation; without gradient.

    A constant row (up to rounding) has Z = 0 everywhere, and so have positions outside the mask. ValueError where
    shapes differ or x is not finite at a generated token.
    """
    check_shapes(x_BL=x_BL, mask_BL=mask_BL)
    mask_BL, z_BL = mask_BL.bool(), fresh(x_BL.shape, x_BL.dtype, x_BL.device)
    mean_B1 = x_BL.new_empty((len(x_BL), 1))
    for rows, (memory_BL,) in pieces(x_BL, 1):
        mask = Mask(mask_BL[rows], memory_BL)
        mean_B1[rows], scale_B1, _ = centre_(mask.keep(x_BL[rows], z_BL[rows]), mask)
        z_BL[rows].mul_(scale_B1)
    check_finite(mean_B1.squeeze(1), mask_BL, x_BL=x_BL)
    return z_BL


@torch.no_grad()
def spread(x_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Population standard deviation of every row over its generated tokens; 0 for an empty row. Shape (B,)."""
    check_shapes(x_BL=x_BL, mask_BL=mask_BL)
    mask_BL, deviation_B1 = mask_BL.bool(), x_BL.new_empty((len(x_BL), 1))
    for rows, (memory_BL, kept_BL) in pieces(x_BL, 2):
        mask = Mask(mask_BL[rows], memory_BL)
        _, _, deviation_B1[rows] = centre_(mask.keep(x_BL[rows], kept_BL), mask)
    check_finite(deviation_B1.squeeze(1), mask_BL, x_BL=x_BL)
    return deviation_B1.squeeze(1)


def centre_(kept_BL: Tensor, mask: Mask) -> tuple[Tensor, Tensor, Tensor]:
    """Take the mean from x, which is 0 outside the mask and stays so, in place.

    Returns:
        (B, 1) mean; the factor that makes the result z-scores, 0 for a row that is constant up to rounding; deviation.
    """
    count_B1 = mask.count().to(kept_BL.dtype)
    mean_B1 = kept_BL.sum(dim=1, keepdim=True) / count_B1
    mask.keep(kept_BL.sub_(mean_B1), kept_BL)
    deviation_B1 = torch.linalg.vector_norm(kept_BL, dim=1, keepdim=True) / count_B1.sqrt()
    kind = torch.finfo(kept_BL.dtype)
    varies_B1 = deviation_B1 > (8 * kind.eps * mean_B1.abs()).clamp_min(kind.tiny)
    return mean_B1, torch.where(varies_B1, deviation_B1.reciprocal(), torch.zeros_like(mean_B1)), deviation_B1
