"""Branch points of scored rollouts: the algorithm's scores, and the tokens at which nobody wants to branch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from appo_core.algorithm import BranchPoint, branching_score, future_value, select_branch_points, spread
from appo_core.config.algorithm import BranchingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.types import Trajectory
from appo_core.training.experience import behaviour_tensor, group_tensor, mask_tensor


@dataclass(frozen=True)
class BranchPlan:
    """Where to branch, and how much future-value signal there was."""

    points: list[BranchPoint]
    score_BL: Tensor
    future_BL: Tensor
    signal_share: float
    """Share of rollouts whose future value varies beyond the noise floor."""
    mean_spread: float
    """Mean deviation of the future value inside a rollout."""


def plain_tokens(codec: Codec) -> Tensor:
    """(V,) bool: tokens of text that hold a letter or digit; blanks, bare punctuation and special tokens are not."""
    size = len(codec.tokenizer)
    texts: Any = codec.tokenizer.batch_decode([[index] for index in range(size)], skip_special_tokens=False)
    plain_V = torch.tensor([any(character.isalnum() for character in text) for text in texts])
    added = codec.tokenizer.added_tokens_decoder
    special = {*codec.tokenizer.all_special_ids, *(index for index, token in added.items() if token.special)}
    plain_V[[index for index in special if index < size]] = False
    plain_V[codec.eos_id] = False
    return plain_V


def plan_branches(
    trajectories: Sequence[Trajectory],
    logp_now_BL: Tensor,
    entropy_BL: Tensor,
    *,
    settings: BranchingSettings,
    budget: int,
    max_response_tokens: int,
    plain_V: Tensor,
    noise_floor: float,
) -> BranchPlan:
    """Score every generated token and choose at most `budget` branch points per prompt."""
    mask_BL = mask_tensor(trajectories)
    omega_BL = future_value(
        logp_now_BL, behaviour_tensor(trajectories), mask_BL, gamma=settings.gamma, clip=settings.clip
    )
    score_BL, candidate_BL = branching_score(
        entropy_BL,
        omega_BL,
        mask_BL,
        mode=settings.score,
        entropy_weight=settings.entropy_weight,
        noise_floor=noise_floor,
    )
    last = max_response_tokens - settings.min_room
    candidate_BL = candidate_BL & mask_BL & _branchable(trajectories, mask_BL, plain_V)
    candidate_BL[:, max(last, 0) :] = False
    points = select_branch_points(
        score_BL,
        candidate_BL,
        group_tensor(trajectories),
        budget=budget,
        per=settings.select,
        min_distance=settings.min_distance,
    )
    spread_B = spread(omega_BL, mask_BL)
    rows = max(len(trajectories), 1)
    return BranchPlan(
        points, score_BL, omega_BL, int((spread_B > noise_floor).sum()) / rows, float(spread_B.sum()) / rows
    )


def _branchable(trajectories: Sequence[Trajectory], mask_BL: Tensor, plain_V: Tensor) -> Tensor:
    allowed_BL = torch.zeros_like(mask_BL)
    known = len(plain_V)
    for row, trajectory in enumerate(trajectories):
        # A model's vocabulary may be padded beyond its tokenizer's: such ids are no text.
        ids_L = torch.tensor(trajectory.response_ids, dtype=torch.long)
        allowed_BL[row, : len(trajectory)] = plain_V[ids_L.clamp_max(known - 1)] & (ids_L < known)
    return allowed_BL


def branch_starts(trajectories: Sequence[Trajectory], points: Sequence[BranchPoint]) -> list[Trajectory]:
    """The trajectories to run, one per branch point, named after their origin and the token they leave it at."""
    origins = [trajectories[point.row] for point in points]
    return [
        origin.branch(f"{origin.uid}/b{point.split}", point.split, point.score)
        for origin, point in zip(origins, points, strict=True)
    ]
