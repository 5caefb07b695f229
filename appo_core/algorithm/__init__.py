"""APPO's mathematics as pure tensor functions. Shape suffixes: B rows, L tokens, V vocabulary, K branches."""

from appo_core.algorithm.advantage import dual_group_advantage, group_advantage, reward_scale
from appo_core.algorithm.entropy import token_entropy
from appo_core.algorithm.loss import PolicyLoss, future_kl_weight, kl_k3, log_ratio, policy_loss
from appo_core.algorithm.scan import discounted_future_sum
from appo_core.algorithm.score import branching_score, future_value
from appo_core.algorithm.selection import BranchPoint, select_branch_points
from appo_core.algorithm.standard import spread, z_score

__all__ = [
    "BranchPoint",
    "PolicyLoss",
    "branching_score",
    "discounted_future_sum",
    "dual_group_advantage",
    "future_kl_weight",
    "future_value",
    "group_advantage",
    "kl_k3",
    "log_ratio",
    "policy_loss",
    "reward_scale",
    "select_branch_points",
    "spread",
    "token_entropy",
    "z_score",
]
