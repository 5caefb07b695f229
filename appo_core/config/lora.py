"""Settings of low-rank adapters (LoRA, arXiv 2106.09685)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from appo_core.config.base import Settings

UNREACHED = ("lm_head", "embed_tokens")
"""Modules that the policy reads the weight of without calling them: an adapter on them would do nothing."""


class LoraSettings(Settings):
    """A low-rank adapter: W + alpha / rank * B A, with only A and B trained."""

    rank: PositiveInt = 32
    alpha: PositiveFloat = 32.0
    """The adapter counts alpha / rank. LoRA wants about ten times the learning rate of full fine-tuning."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before A, in updates only. Above 0 the updated policy is never quite the one that sampled."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of linear layers (q_proj, v_proj, ...), or all of them but the head."""

    @field_validator("target_modules")
    @classmethod
    def _reachable(cls, names: str | tuple[str, ...]) -> str | tuple[str, ...]:
        refused = [name for name in UNREACHED if not isinstance(names, str) and name in names]
        if refused or not names:
            what = f"{refused[0]} cannot carry an adapter" if refused else "no module is named"
            raise ValueError(f"{what}; name linear layers such as q_proj, or all-linear")
        return names
