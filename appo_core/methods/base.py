"""What a method decides: how many rollouts, which branches, whose outcomes credit which tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from appo_core.config.base import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from appo_core.config.algorithm import AlgorithmSettings
    from appo_core.rollout.forks import Forks


@dataclass(frozen=True)
class Outcomes:
    """The rollouts of one mini-batch that are trained on (B rows, L tokens), and K branches that lend their rewards.

    A mini-batch holds the rows of all ranks, so statistics over it do not depend on their number.
    """

    rewards_B: "Tensor"
    group_B: "Tensor"
    """Prompt of every row."""
    mask_BL: "Tensor"
    branch_rewards_K: "Tensor"
    branch_origin_K: "Tensor"
    """Row each branch left."""
    branch_split_K: "Tensor"
    """Index of its branch token there."""
    branch_scores_K: "Tensor"


class NoOptions(Settings):
    """A method without settings of its own."""


class Method:
    """Base of all methods: n independent rollouts per prompt, credited with their group's z-score (GRPO)."""

    defaults: ClassVar[dict[str, Any]] = {}
    """Settings under `rl.algorithm` that this method starts from where the user gives none."""
    options_model: ClassVar[type[Settings]] = NoOptions
    """Model of `rl.algorithm.options`."""
    partial_start: ClassVar[bool] = False
    """Starts with `initial_rollouts` of the `rollouts_per_prompt` only; branches follow."""
    scored_branches: ClassVar[bool] = False
    """Finished rollouts are branched at the tokens with the best branching score."""

    def __init__(self, settings: "AlgorithmSettings") -> None:
        self.settings = settings
        self.options: Any = self.options_model.model_validate(settings.options)

    @property
    def initial_rollouts(self) -> int:
        """Rollouts from the bare prompt."""
        return self.settings.initial_rollouts if self.partial_start else self.settings.rollouts_per_prompt

    @property
    def branches(self) -> int:
        """Most branches of finished rollouts that one prompt can get."""
        return self.settings.rollouts_per_prompt - self.initial_rollouts if self.scored_branches else 0

    @property
    def sampling_rounds(self) -> int:
        """How often prompts whose rewards teach nothing may be replaced by others in a step, the first try included."""
        return 1

    def informative(self, rewards: Sequence[float]) -> bool:  # noqa: ARG002 - a hook
        """Whether a prompt with these rewards is worth keeping while `sampling_rounds` last."""
        return True

    def forks(self, seed: int, vocabulary: int) -> "Forks | None":  # noqa: ARG002 - a hook
        """A new decider for branches that start while rollouts run, if the method has such."""
        return None

    def advantages(self, outcomes: Outcomes) -> "Tensor":
        """(B, L) advantages, 0 outside the mask: ``(R_i - mean_g) / std_g`` for every token of row i."""
        from appo_core.algorithm import group_advantage

        own_B = group_advantage(outcomes.rewards_B, outcomes.group_B, normalize=self.settings.advantage.normalize)
        return own_B[:, None] * outcomes.mask_BL
