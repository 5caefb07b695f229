"""Checkpoints in one call."""

from pathlib import Path
from typing import Any

import torch

from appo_core.training.checkpoint import Marker, TrainState
from appo_core.training.collect import Collected
from appo_core.training.policy import Policy
from appo_core.training.ranks import Ranks
from appo_core.training.resume import load_tensors
from appo_core.training.saver import Saver


def save(
    folder: Path,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    state: TrainState,
    ranks: Ranks,
    pending: Collected | None = None,
    identity: dict[str, Any] | None = None,
) -> None:
    """Save `folder`, named after the step of `state`, and wait for it."""
    with Saver(folder.parent, ranks, keep=100, identity=identity or {}) as saver:
        saver.start(policy, optimizer, state, pending)


def load(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> TrainState:
    """Restore policy and optimiser; returns the counters."""
    load_tensors(folder, policy, optimizer)
    return Marker.read(folder).state
