"""Reading tensors through a mask: what lies outside it never counts, not even a NaN."""

import torch
from torch import Tensor

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Mask:
    """A (B, L) mask as integers as wide as the values: all bits set inside it, none outside.

    A bitwise `and` with them turns everything outside into 0, a NaN too, and is several times faster on a CPU than
    choosing by a mask of bytes. It knows no gradient.
    """

    def __init__(self, mask_BL: Tensor, memory_BL: Tensor) -> None:
        """A wide copy of the bool `mask_BL`, kept in `memory_BL`, a tensor of the values' type to overwrite."""
        self.bits_BL = memory_BL.view(_BITS[memory_BL.element_size()])
        self.bits_BL.copy_(mask_BL)
        torch.neg(self.bits_BL, out=self.bits_BL)

    def keep(self, x_BL: Tensor, out_BL: Tensor) -> Tensor:
        """x inside the mask and 0 outside, written to `out_BL` (which may be x)."""
        bits = self.bits_BL.dtype
        torch.bitwise_and(x_BL.view(bits), self.bits_BL, out=out_BL.view(bits))
        return out_BL

    def sink_(self, x_BL: Tensor) -> Tensor:
        """x inside the mask and -inf outside, in place; the mask is used up."""
        lowest = torch.tensor(-torch.inf, dtype=x_BL.dtype).view(self.bits_BL.dtype)
        self.keep(x_BL, x_BL).view(self.bits_BL.dtype).bitwise_or_(
            self.bits_BL.bitwise_not_().bitwise_and_(int(lowest))
        )
        return x_BL

    def count(self) -> Tensor:
        """(B, 1) number of places inside, at least 1."""
        return count_set(self.bits_BL).unsqueeze(1).clamp_min(1)


def count_set(bits_BL: Tensor) -> Tensor:
    """(B,) number of places with all bits set."""
    return -bits_BL.sum(dim=1, dtype=bits_BL.dtype)


def zero_outside(x_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """x inside the mask, 0 outside; a NaN outside reaches neither value nor gradient."""
    return x_BL.where(mask_BL, torch.zeros_like(x_BL))
