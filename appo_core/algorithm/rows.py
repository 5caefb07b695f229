"""Passes over (B, L) tensors in pieces of whole rows that stay in the processor's cache."""

from collections.abc import Iterator

import torch
from torch import Tensor

CACHED_ELEMENTS = 1 << 19
"""Elements of one tensor per piece on a CPU: 2 MiB in float32, so that the few tensors in use stay in the cache."""


def pieces(like_BL: Tensor, buffers: int = 0) -> Iterator[tuple[slice, list[Tensor]]]:
    """Slices of rows to work on at a time, each with `buffers` tensors of its shape and `like_BL`'s type to write on.

    A piece fits the cache on a CPU; on a GPU there is one piece. Every piece gets the same memory: fresh memory costs
    a page fault per 1024 floats, which takes longer than a pass of arithmetic over them.
    """
    rows, length = like_BL.shape
    step = rows if like_BL.is_cuda else min(rows, max(1, CACHED_ELEMENTS // max(length, 1)))
    held = [torch.empty((step, length), dtype=like_BL.dtype, device=like_BL.device) for _ in range(buffers)]
    for first in range(0, rows, max(step, 1)):
        last = min(first + step, rows)
        yield slice(first, last), [buffer[: last - first] for buffer in held]
