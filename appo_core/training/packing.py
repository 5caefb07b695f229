"""Packing trajectories into micro-batches of a token budget, without padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from appo_core.rollout.types import Trajectory


@dataclass(frozen=True)
class MicroBatch:
    """Several trajectories in one row of tokens; positions restart at each, which separates them in attention.

    T tokens in all, N of them generated. `source_N` points at the token *before* each generated one (whose hidden state
    predicts it), `row_N` and `column_N` at its place in the (B, L) tensors of the whole batch.
    """

    ids_T: Tensor
    position_T: Tensor
    source_N: Tensor
    target_N: Tensor
    row_N: Tensor
    column_N: Tensor
    lengths: tuple[int, ...]
    """Tokens of each trajectory, prompt included; they sum to T."""

    def to(self, device: torch.device) -> "MicroBatch":
        """A copy on `device`."""
        return MicroBatch(
            **{name: value.to(device) if isinstance(value, Tensor) else value for name, value in vars(self).items()}
        )


def _batch(rows: Sequence[tuple[int, Trajectory]]) -> MicroBatch:
    ids, positions, sources, targets, row_numbers, columns = [], [], [], [], [], []
    offset = 0
    for number, trajectory in rows:
        row_ids = torch.tensor(trajectory.prompt_ids + trajectory.response_ids)
        column = torch.nonzero(torch.tensor(trajectory.mask)).squeeze(1)
        place = column + len(trajectory.prompt_ids)
        ids.append(row_ids)
        positions.append(torch.arange(len(row_ids)))
        sources.append(offset + place - 1)
        targets.append(row_ids[place])
        row_numbers.append(torch.full_like(column, number))
        columns.append(column)
        offset += len(row_ids)
    return MicroBatch(
        torch.cat(ids),
        torch.cat(positions),
        torch.cat(sources),
        torch.cat(targets),
        torch.cat(row_numbers),
        torch.cat(columns),
        tuple(len(row_ids) for row_ids in ids),
    )


def pack(trajectories: Sequence[Trajectory], budget: int) -> list[MicroBatch]:
    """Micro-batches of at most `budget` tokens each (a longer trajectory gets one of its own), rows in order.

    Prompts are part of the input only; injected tokens are input, never targets.
    """
    groups: list[list[tuple[int, Trajectory]]] = []
    room = 0
    for number, trajectory in enumerate(trajectories):
        size = len(trajectory.prompt_ids) + len(trajectory)
        if not groups or size > room:
            groups.append([])
            room = budget
        groups[-1].append((number, trajectory))
        room -= size
    return [_batch(group) for group in groups]
