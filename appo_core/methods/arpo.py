"""ARPO (arXiv 2507.19849): rollouts branch behind tool calls while they run, likelier where entropy has risen."""

import math
import random
from typing import TYPE_CHECKING

from pydantic import Field, NonNegativeFloat, PositiveInt

from appo_core.config.base import Settings
from appo_core.methods.base import Method
from appo_core.methods.grpo import PLAIN_LOSS

if TYPE_CHECKING:
    from appo_core.rollout.engines.base import Generation
    from appo_core.rollout.forks import Forks
    from appo_core.rollout.types import Trajectory


class ArpoOptions(Settings):
    """When a rollout branches behind a tool call."""

    beam_size: PositiveInt = 2
    """A rollout gets at most this many continuations behind one call, its own included."""
    branch_probability: float = Field(default=0.5, ge=0, le=1)
    """Probability of a branch at unchanged entropy."""
    entropy_weight: NonNegativeFloat = 0.2
    """What a unit of entropy, summed over `entropy_tokens` and divided by ln(vocabulary), adds to it."""
    entropy_tokens: PositiveInt = 20
    """First tokens of a segment whose entropies are summed."""


class Arpo(Method):
    """n0 rollouts, branches behind tool calls up to n, fresh rollouts for what is left; GRPO over all of them.

    Branches are trained on whole, so tokens that several rows share get the mean of these rows' advantages.
    """

    defaults = {"advantage": {"dual_group": False}, "loss": PLAIN_LOSS | {"kl_coefficient": 0.0}}  # noqa: RUF012
    options_model = ArpoOptions
    partial_start = True

    def forks(self, seed: int, vocabulary: int) -> "Forks":
        """Decides behind every tool call."""
        return ToolCallForks(self.options, self.settings.rollouts_per_prompt, seed, vocabulary)


class ToolCallForks:
    """Branches of the rollouts of one sampling phase; draws depend on seed and trajectory only.

    With h the entropy at the start of the segment that made the call and h0 that of the rollout's first segment:
    branch when ``clip(U - w (h - h0), 0, 1) <= p``, U uniform. The published code keeps h0 by row number for ever, so
    that from the second step on it belongs to other rollouts; here it is the rollout's own.
    """

    def __init__(self, options: ArpoOptions, rollouts: int, seed: int, vocabulary: int) -> None:
        self.options, self.rollouts, self.seed = options, rollouts, seed
        self._scale = math.log(max(vocabulary, 2))
        self._started: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._first_entropy: dict[str, float] = {}

    @property
    def entropy_tokens(self) -> int:
        """How many entropies the engine is asked for."""
        return self.options.entropy_tokens

    def begun(self, trajectory: "Trajectory") -> None:
        """A trajectory of the phase has been started."""
        self._started[trajectory.group] = self._started.get(trajectory.group, 0) + 1
        self._running[trajectory.group] = self._running.get(trajectory.group, 0) + 1

    def after_call(self, trajectory: "Trajectory", generation: "Generation") -> "list[Trajectory]":
        """Branches of a rollout whose tool call has just been answered."""
        entropy = sum(generation.entropies) / self._scale
        rise = entropy - self._first_entropy.setdefault(trajectory.uid, entropy)
        free = self.rollouts - self._started[trajectory.group]
        calls = len(trajectory.tool_calls)
        draw = random.Random(f"{self.seed}/{trajectory.uid}/{calls}")
        branches = []
        for number in range(min(self.options.beam_size - 1, free)):
            chance = draw.random() - self.options.entropy_weight * rise
            if min(max(chance, 0.0), 1.0) <= self.options.branch_probability:
                branches.append(trajectory.branch(f"{trajectory.uid}/c{calls}.{number}", len(trajectory) - 1, rise))
        return branches

    def after_end(self, trajectory: "Trajectory") -> "list[Trajectory]":
        """A fresh rollout of a prompt that has nothing running and is not full."""
        group = trajectory.group
        self._running[group] -= 1
        if self._running[group] or self._started[group] >= self.rollouts:
            return []
        return [trajectory.afresh(f"{trajectory.uid}/f{self._started[group]}")]


METHOD = Arpo
