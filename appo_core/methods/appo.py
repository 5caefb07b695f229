"""APPO (arXiv 2606.12384): branches at the best branching scores, credited to the tokens before them."""

from typing import TYPE_CHECKING

from appo_core.methods.base import Method, Outcomes

if TYPE_CHECKING:
    from torch import Tensor


class Appo(Method):
    """n0 rollouts per prompt, then up to n - n0 branches, which only lend their rewards.

    A token's advantage is its rollout's own z-score plus the mean z-score of the branches that leave at or after it.
    """

    partial_start = True
    scored_branches = True

    def advantages(self, outcomes: Outcomes) -> "Tensor":
        """Dual-group advantages; without branches, or with the dual group off, the group's own."""
        from appo_core.algorithm import dual_group_advantage, reward_scale

        settings = self.settings.advantage
        if not settings.dual_group or not outcomes.branch_rewards_K.numel():
            return super().advantages(outcomes)
        advantage_BL = dual_group_advantage(
            outcomes.rewards_B,
            outcomes.group_B,
            outcomes.mask_BL,
            branch_rewards_K=outcomes.branch_rewards_K,
            branch_origin_K=outcomes.branch_origin_K,
            branch_split_K=outcomes.branch_split_K,
            normalize=settings.normalize,
            reduce=settings.branch_reduce,
        )
        if not settings.reward_scaling:
            return advantage_BL
        return advantage_BL * reward_scale(
            outcomes.mask_BL,
            branch_scores_K=outcomes.branch_scores_K,
            branch_origin_K=outcomes.branch_origin_K,
            branch_split_K=outcomes.branch_split_K,
            discount=settings.reward_scale_discount,
        )


METHOD = Appo
