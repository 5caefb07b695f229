"""Settings of the APPO algorithm; every term can be switched for an ablation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationInfo, field_validator, model_validator

from appo_core.config.base import Settings

UnitInterval = Annotated[float, Field(ge=0, le=1)]


class BranchingSettings(Settings):
    """Where trajectories branch: Branching Score = Z(entropy) x Z(future value)."""

    when: Literal["minibatch", "stale", "onpolicy"] = "minibatch"
    """`minibatch`: scored by the policy after the updates made so far in this step (the paper); `stale`: initial
    rollouts come from an earlier version; `onpolicy`: before any update (the published code: no signal)."""
    score: Literal["product", "entropy", "future", "sum"] = "product"
    entropy_weight: UnitInterval = 0.5
    """Weight of Z(entropy) when `score` is `sum`; Z(future value) gets the rest."""
    gamma: UnitInterval = 0.99
    """Discount of the future value."""
    clip: PositiveFloat = 0.2
    """Half width of the future value's clip around 1."""
    select: Literal["rollout", "prompt"] = "rollout"
    """Top-kappa per rollout (the paper), or the top of all rollouts of a prompt (the published code)."""
    min_distance: NonNegativeInt = 4
    """Least distance in tokens between two branch points of one rollout."""
    min_room: PositiveInt = 8
    """Least number of tokens that must be left for a branch."""
    noise_floor: PositiveFloat = 1e-4
    """A rollout whose future value spreads less than this carries no signal: its score is entropy alone."""


class AdvantageSettings(Settings):
    """Advantages of rollouts and of branches."""

    normalize: bool = True
    """Divide by the group's standard deviation (off: Dr. GRPO)."""
    dual_group: bool = True
    """Map the branch group's advantages back to the prefix tokens of their origin."""
    branch_reduce: Literal["mean", "sum"] = "mean"
    """How the advantages of several branches that leave at or after a token combine."""
    reward_scaling: bool = False
    """Scale token advantages by the published reward factor M (inert where the published code applies it)."""
    reward_scale_discount: UnitInterval = 0.9


class LossSettings(Settings):
    """The future-KL policy loss."""

    clip_low: PositiveFloat = 0.2
    clip_high: PositiveFloat = 0.28
    clip_ratio_c: Annotated[float, Field(gt=1)] = 3.0
    """Dual clip: bound of the loss for negative advantages."""
    future_kl: bool = True
    """Scale advantages by (1 + weight x f), f the clipped discounted future log-ratio against the moving policy."""
    future_kl_weight: Annotated[float, Field(ge=0)] = 1.0
    future_kl_decay: PositiveFloat = 64.0
    """Half-life of the discount, in tokens."""
    future_kl_clip: PositiveFloat = 0.2
    future_kl_clip_high_only: bool = True
    safety_ratio: PositiveFloat = 6.0
    """Above this ratio, a token with negative advantage gets f clipped to [0.8, 1]."""
    aggregate: Literal["token_mean", "sequence_sum"] = "token_mean"
    """Divide the summed token losses by the number of tokens of all ranks and micro-batches, or (Dr. GRPO) by the
    number of rows times the longest response allowed."""
    sequence_filter: bool = True
    """Drop rows in which more than one negative-advantage token exceeds the dual-clip bound."""
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.001
    """Weight of the k3 KL loss against the reference policy; 0 loads no reference."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus; negative values make the policy surer."""


def _name_choices(schema: dict[str, Any]) -> None:
    """The known methods, for forms."""
    from appo_core.methods.registry import method_names

    schema["enum"] = list(method_names())


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, group by group."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            merged[key] = _merged(below[key], above[key])
    return merged


class AlgorithmSettings(Settings):
    """The method of reinforcement learning: how rollouts branch, what they are worth, and the loss."""

    name: str = Field(default="appo", json_schema_extra=_name_choices)
    """Method: `appo`, a baseline (`grpo`, `dr_grpo`, `arpo`, `dapo`, `rloo`, `reinforce_pp`), or any module of
    appo_core.methods. It brings its own defaults for everything that is not set here."""
    rollouts_per_prompt: PositiveInt = 16
    """n: initial rollouts and branches together."""
    initial_rollouts: PositiveInt = 8
    """n0: rollouts from the bare prompt in methods that branch (up to n - n0 branches follow); others start all n."""
    branching: BranchingSettings = BranchingSettings()
    advantage: AdvantageSettings = AdvantageSettings()
    loss: LossSettings = LossSettings()
    options: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    """Settings of the method alone, such as `beam_size` of `arpo`; its module documents them."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        """What the method starts from, below what is given."""
        if not isinstance(given, Mapping) or not isinstance(given.get("name", "appo"), str):
            return given
        from appo_core.methods.registry import method_class

        return _merged(method_class(given.get("name", "appo")).defaults, given)

    @model_validator(mode="after")
    def _initial_fits(self) -> "AlgorithmSettings":
        from appo_core.methods.registry import method_class

        if method_class(self.name).partial_start and self.initial_rollouts > self.rollouts_per_prompt:
            raise ValueError(
                f"initial_rollouts ({self.initial_rollouts}) is above rollouts_per_prompt "
                f"({self.rollouts_per_prompt}); lower the one or raise the other"
            )
        return self

    @field_validator("options")
    @classmethod
    def _options_known(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """The options with the method's defaults filled in."""
        from appo_core.methods.registry import method_class

        return method_class(info.data.get("name", "appo")).options_model.model_validate(options).model_dump()
