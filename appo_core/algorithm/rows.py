"""Passes over (B, L) tensors in pieces of whole rows that stay in the processor's cache."""

import math
from collections.abc import Iterator

import numpy
import torch
from torch import Tensor

CACHED_ELEMENTS = 1 << 19
"""Elements of one tensor per piece on a CPU: 2 MiB in float32, so that the few tensors in use stay in the cache."""


def fresh(shape: tuple[int, ...] | torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """An unset tensor. On a CPU numpy gives the memory, because it asks for huge pages: on first use, large tensors of
    torch's own pay a page fault for every 1024 floats, which takes longer than the arithmetic on them."""
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or not size:
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(numpy.empty(size, dtype=numpy.uint8)).view(dtype).view(shape)


def pieces(like_BL: Tensor, buffers: int = 0) -> Iterator[tuple[slice, list[Tensor]]]:
    """Slices of rows to work on at a time, each with `buffers` tensors of its shape and `like_BL`'s type to write on.

    A piece fits the cache on a CPU; on a GPU there is one piece. Every piece gets the same memory.
    """
    rows, length = like_BL.shape
    step = rows if like_BL.is_cuda else min(rows, max(1, CACHED_ELEMENTS // max(length, 1)))
    held = [fresh((step, length), like_BL.dtype, like_BL.device) for _ in range(buffers)]
    for first in range(0, rows, max(step, 1)):
        last = min(first + step, rows)
        yield slice(first, last), [buffer[: last - first] for buffer in held]
