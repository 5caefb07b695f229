"""GRPO (arXiv 2402.03300): n independent rollouts, z-scores within the group, the plain clipped loss."""

from typing import Any

from appo_core.methods.base import Method

PLAIN_LOSS: dict[str, Any] = {"future_kl": False, "sequence_filter": False, "clip_low": 0.2, "clip_high": 0.2}
"""The clipped objective of PPO with its dual clip, and nothing of APPO's."""


class Grpo(Method):
    """The base method under its own name."""

    defaults = {"advantage": {"dual_group": False}, "loss": PLAIN_LOSS}  # noqa: RUF012 - never changed


METHOD = Grpo
