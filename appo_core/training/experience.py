"""Scored trajectories as the algorithm's (B, L) tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from appo_core.rewards import RewardResult
from appo_core.rollout.types import Trajectory


@dataclass
class Scored:
    """One finished trajectory with its reward."""

    trajectory: Trajectory
    reward: RewardResult


def mask_tensor(trajectories: Sequence[Trajectory]) -> Tensor:
    """(B, L) bool: generated tokens."""
    length = max((len(trajectory) for trajectory in trajectories), default=0)
    mask_BL = torch.zeros(len(trajectories), length, dtype=torch.bool)
    for row, trajectory in enumerate(trajectories):
        mask_BL[row, : len(trajectory)] = torch.tensor(trajectory.mask, dtype=torch.bool)
    return mask_BL


def behaviour_tensor(trajectories: Sequence[Trajectory]) -> Tensor:
    """(B, L) float32: log-probs of the policy that sampled; 0 at injected tokens and padding."""
    length = max((len(trajectory) for trajectory in trajectories), default=0)
    logp_BL = torch.zeros(len(trajectories), length)
    for row, trajectory in enumerate(trajectories):
        logp_BL[row, : len(trajectory)] = torch.tensor(trajectory.behaviour_logprobs)
    return logp_BL


def group_tensor(trajectories: Sequence[Trajectory]) -> Tensor:
    """(B,) group numbers in order of first appearance."""
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(trajectory.group, len(numbers)) for trajectory in trajectories]
    return torch.tensor(groups, dtype=torch.long)


def reward_tensor(rows: Sequence[Scored]) -> Tensor:
    """(B,) float64 rewards."""
    return torch.tensor([row.reward.score for row in rows], dtype=torch.float64)
