"""Refusals of bad tensors, each naming the argument and the place."""

import math

import torch
from torch import Tensor


def check_shapes(**tensors: Tensor) -> None:
    """ValueError unless all tensors have the shape of the first, which has rows and tokens."""
    (first, shape), *others = ((name, tuple(tensor.shape)) for name, tensor in tensors.items())
    if len(shape) != 2:
        raise ValueError(f"{first} has shape {shape}; it needs two dimensions, rows and tokens")
    for name, other in others:
        if other != shape:
            raise ValueError(f"{name} has shape {other}, but {first} has shape {shape}; they must be equal")


def check_vector(name: str, vector: Tensor, size: int, of: str) -> None:
    """ValueError unless `vector` is one-dimensional with `size` entries, one for every entry `of` something."""
    if tuple(vector.shape) != (size,):
        raise ValueError(f"{name} has shape {tuple(vector.shape)}, but {of} needs shape {(size,)}")


def check_gamma(gamma: float, name: str = "gamma") -> None:
    """ValueError unless the discount is in [0, 1]."""
    if not (math.isfinite(gamma) and 0 <= gamma <= 1):
        raise ValueError(f"{name} is {gamma}; a discount must be in [0, 1]")


def check_index(name: str, index_K: Tensor, size: int, of: str) -> None:
    """ValueError unless every index is in [0, size)."""
    bad_K = ((index_K < 0) | (index_K >= size)).nonzero().squeeze(1)
    if len(bad_K):
        place = int(bad_K[0])
        raise ValueError(f"{name}[{place}] is {int(index_K[place])}, but {of} are {size}: it must be in [0, {size})")


def check_finite(total_B: Tensor, mask_BL: Tensor, **tensors: Tensor) -> None:
    """ValueError that names the first value inside the mask that is not finite, if there is one.

    `total_B` is a sum over every row's tokens that the caller has anyway: only rows in which it is not finite are
    searched, so that good tensors are not read again.
    """
    suspect_R = (~torch.isfinite(total_B)).nonzero().squeeze(1)
    if not len(suspect_R):
        return
    for name, tensor in tensors.items():
        bad_X2 = (~torch.isfinite(tensor[suspect_R]) & mask_BL[suspect_R].bool()).nonzero()
        if len(bad_X2):
            row, position = int(suspect_R[bad_X2[0, 0]]), int(bad_X2[0, 1])
            value = float(tensor.detach()[row, position])
            raise ValueError(
                f"{name} is {value} at row {row}, position {position}: it must be finite where mask_BL is set"
            )
