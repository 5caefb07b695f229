"""The second phase: finished rollouts are scored by the policy and branched at their best tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from appo_core.config.rl import RlSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.types import Trajectory
from appo_core.training.branching import branch_starts, plain_tokens, plan_branches
from appo_core.training.collect import Collector
from appo_core.training.experience import Scored
from appo_core.training.policy import Policy, score
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks

NOISE_MARGIN = 2.0
"""A rollout carries signal when its future value spreads this much beyond what equal policies show."""


@dataclass(frozen=True)
class TokenScores:
    """What was known of each response token of one rollout when its branch points were chosen."""

    branching_L: Tensor
    entropy_L: Tensor
    future_L: Tensor


@dataclass(frozen=True)
class Grown:
    """Branches of some rollouts, and how they were chosen."""

    branches: list[Scored] = field(default_factory=list)
    trajectories: list[Trajectory] = field(default_factory=list)
    """All branches, those left out too, for accounting."""
    scores: dict[str, TokenScores] = field(default_factory=dict)
    """By uid of the rollout."""
    signal: dict[str, float] = field(default_factory=dict)
    """Metrics of the future-value signal, equal on all ranks."""

    def of(self, rows: Sequence[Scored]) -> "Grown":
        """The part that belongs to `rows`; trajectories stay with the whole."""
        uids = {row.trajectory.uid for row in rows}
        mine = [
            branch for branch in self.branches if branch.trajectory.prefix and branch.trajectory.prefix.origin in uids
        ]
        return replace(
            self, branches=mine, trajectories=[], scores={uid: self.scores[uid] for uid in self.scores.keys() & uids}
        )


class Grower:
    """Scores, plans and runs branches; remembers the noise floor that equal policies show."""

    def __init__(
        self, settings: RlSettings, budget: int, policy: Policy, collector: Collector, codec: Codec, ranks: Ranks
    ) -> None:
        self.settings, self.budget, self.policy, self.collector, self.ranks = settings, budget, policy, collector, ranks
        self.plain_V = plain_tokens(codec)
        self.noise_floor = settings.algorithm.branching.noise_floor

    async def grow(self, rows: Sequence[Scored], questions: dict[str, Prompt], step: int, *, moved: bool) -> Grown:
        """Branches of `rows`; `moved` says that the policy is not the one that sampled them any more.

        Before it has moved, the spread that future values show all the same is noise between the two inference
        stacks, and becomes the floor that signal must exceed.
        """
        trajectories = [row.trajectory for row in rows]
        branching = self.settings.algorithm.branching
        logp_BL, entropy_BL = score(self.policy, trajectories, self.settings.micro_batch_tokens, self.ranks)
        plan = plan_branches(
            trajectories,
            logp_BL,
            entropy_BL,
            settings=branching,
            budget=self.budget,
            max_response_tokens=self.settings.limits.max_response_tokens,
            plain_V=self.plain_V,
            noise_floor=self.noise_floor if moved else torch.inf,
        )
        if not moved:
            self.noise_floor = max(branching.noise_floor, NOISE_MARGIN * self._mean(plan.mean_spread))
        grown = await self.collector.collect(
            branch_starts(trajectories, plan.points), questions, seed=self.settings.seed + step + 1
        )
        signal = {
            "branching/points": self.ranks.sum(float(len(plan.points))),
            "branching/signal_share": self._mean(plan.signal_share),
            "branching/spread": self._mean(plan.mean_spread),
            "branching/noise_floor": self.noise_floor,
        }
        scores = {
            trajectory.uid: TokenScores(
                plan.score_BL[row, :length], entropy_BL[row, :length], plan.future_BL[row, :length]
            )
            for row, trajectory in enumerate(trajectories)
            for length in [len(trajectory)]
        }
        return Grown(grown.rows, grown.trajectories, scores, signal)

    def _mean(self, value: float) -> float:
        return self.ranks.sum(value) / self.ranks.world
