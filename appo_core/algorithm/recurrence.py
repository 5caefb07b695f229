"""First-order linear recurrences with a decay of their own at every step."""

import torch
from torch import Tensor
from torch.nn.functional import pad

FAN = 8
"""Elements per group."""


def backward_recurrence(x_NB: Tensor, decay_NB: Tensor) -> Tensor:
    """``S_n = x_n + decay_n S_(n+1)`` along the first dimension, from the last element to the first. Shape (N, B).

    Serial inside groups of elements, for all groups at once; then the same between the groups, and so on: work O(N B)
    in O(log N) steps. Only products of decays are formed, so a decay may be 0.
    """
    count = len(x_NB)
    if count <= FAN:
        return torch.stack(_serial(x_NB, decay_NB))
    x_FGB, decay_FGB = _groups(x_NB), _groups(decay_NB)
    passing_FGB = list(decay_FGB.unbind())
    for place in reversed(range(FAN - 1)):
        passing_FGB[place] = passing_FGB[place] * passing_FGB[place + 1]
    inside_FGB = _serial(x_FGB, decay_FGB)
    behind_GB = one_earlier(backward_recurrence(inside_FGB[0], passing_FGB[0]))
    sums_GFB = torch.addcmul(torch.stack(inside_FGB, 1), torch.stack(passing_FGB, 1), behind_GB.unsqueeze(1))
    return sums_GFB.flatten(0, 1)[:count]


def one_earlier(x_NB: Tensor) -> Tensor:
    """Every place gets what the next one has, the last one 0."""
    return pad(x_NB[1:], (0, 0, 0, 1))


def _groups(x_NB: Tensor) -> Tensor:
    """Groups of F neighbours side by side; what is put behind the end adds nothing."""
    return pad(x_NB, (0, 0, 0, -len(x_NB) % FAN)).unflatten(0, (-1, FAN)).transpose(0, 1)


def _serial(x: Tensor, decay: Tensor) -> list[Tensor]:
    sums, passing = list(x.unbind()), decay.unbind()
    for place in reversed(range(len(sums) - 1)):
        sums[place] = torch.addcmul(sums[place], passing[place], sums[place + 1])
    return sums
