"""RLOO (arXiv 2402.14740): each rollout against the mean of the others of its group."""

from typing import TYPE_CHECKING

from appo_core.methods.base import Method, Outcomes
from appo_core.methods.grpo import PLAIN_LOSS

if TYPE_CHECKING:
    from torch import Tensor


class Rloo(Method):
    """Advantages ``R_i - mean of the others = n / (n - 1) (R_i - mean_g)``; 0 for a rollout without others."""

    defaults = {"advantage": {"dual_group": False, "normalize": False}, "loss": PLAIN_LOSS}  # noqa: RUF012

    def advantages(self, outcomes: Outcomes) -> "Tensor":
        """The same for every token of a row."""
        import torch

        from appo_core.algorithm import group_advantage

        centred_B = group_advantage(outcomes.rewards_B, outcomes.group_B, normalize=False)
        _, index_B, count_G = torch.unique(outcomes.group_B, return_inverse=True, return_counts=True)
        size_B = count_G[index_B].to(centred_B.dtype)
        return (centred_B * size_B / (size_B - 1).clamp_min(1))[:, None] * outcomes.mask_BL


METHOD = Rloo
