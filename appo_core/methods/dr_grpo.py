"""Dr. GRPO (arXiv 2503.20783): GRPO without its two biases, the division by the deviation and by the length."""

from appo_core.methods.base import Method
from appo_core.methods.grpo import PLAIN_LOSS


class DrGrpo(Method):
    """Advantages ``R_i - mean_g``; token losses are summed and divided by a constant, the longest response allowed."""

    defaults = {  # noqa: RUF012 - never changed
        "advantage": {"dual_group": False, "normalize": False},
        "loss": PLAIN_LOSS | {"aggregate": "sequence_sum"},
    }


METHOD = DrGrpo
