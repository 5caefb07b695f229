"""REINFORCE++ (arXiv 2501.03262): no groups; returns are whitened over all tokens of the mini-batch."""

from typing import TYPE_CHECKING

from appo_core.methods.base import Method, Outcomes
from appo_core.methods.grpo import PLAIN_LOSS

if TYPE_CHECKING:
    from torch import Tensor


class ReinforcePlusPlus(Method):
    """The reward stands at the end and is not discounted, so every token's return is its row's reward.

    ``A = (R_i - mean) / std`` over the generated tokens of all rows; 0 where all are equal.
    """

    defaults = {"advantage": {"dual_group": False}, "loss": PLAIN_LOSS}  # noqa: RUF012 - never changed

    def advantages(self, outcomes: Outcomes) -> "Tensor":
        """Whitened returns; `advantage.normalize` off leaves the division out."""
        mask_BL = outcomes.mask_BL.bool()
        tokens_B = mask_BL.sum(dim=1).to(outcomes.rewards_B.dtype)
        total = tokens_B.sum().clamp_min(1)
        centred_B = outcomes.rewards_B - (outcomes.rewards_B * tokens_B).sum() / total
        if self.settings.advantage.normalize:
            deviation = ((centred_B.square() * tokens_B).sum() / total).sqrt()
            # Equal rewards leave rounding behind, which must not be blown up to ones.
            centred_B = centred_B / deviation if deviation > 1e-9 else centred_B * 0
        return centred_B[:, None] * mask_BL


METHOD = ReinforcePlusPlus
