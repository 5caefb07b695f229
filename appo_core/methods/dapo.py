"""DAPO (arXiv 2503.14476): clip-higher, the token mean, no KL term, and dynamic sampling.

The paper's penalty for over-long responses is not part of it.
"""

from collections.abc import Sequence

from pydantic import PositiveInt

from appo_core.config.base import Settings
from appo_core.methods.base import Method
from appo_core.methods.grpo import PLAIN_LOSS


class DapoOptions(Settings):
    """Dynamic sampling."""

    sampling_rounds: PositiveInt = 3
    """Times a step may sample: prompts whose rollouts all earn the same are replaced by others in each further one."""


class Dapo(Method):
    """GRPO on prompts whose rewards differ, with room for unlikely tokens to grow."""

    defaults = {  # noqa: RUF012 - never changed
        "advantage": {"dual_group": False},
        "loss": PLAIN_LOSS | {"clip_high": 0.28, "kl_coefficient": 0.0},
    }
    options_model = DapoOptions

    @property
    def sampling_rounds(self) -> int:
        """As set."""
        rounds: int = self.options.sampling_rounds
        return rounds

    def informative(self, rewards: Sequence[float]) -> bool:
        """Rewards that differ: all others have advantage 0."""
        return len(set(rewards)) > 1


METHOD = Dapo
