"""Settings of a comparison: variants of the RL stage, each with several seeds, at equal generated tokens."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from appo_core.config.base import Settings

VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,30}$")]
Overrides = dict[str, Any]
"""Dotted keys as for `--set`, all below `rl`: `{"rl.algorithm.name": "grpo"}`."""


class CompareSettings(Settings):
    """Any set of algorithms and ablations on one start model: every variant with every seed is one RL run."""

    variants: dict[VariantName, Overrides] = Field(default={"appo": {}, "grpo": {"rl.algorithm.name": "grpo"}})
    """Name -> what differs from the `rl` settings of the chain, as dotted keys: `{rl.algorithm.name: grpo}`."""
    include: tuple[VariantName, ...] = ()
    """Variants to run, in this order; all by default. The first one is what the others are compared with."""
    seeds: tuple[NonNegativeInt, ...] = (1, 2, 3)
    """Each becomes `rl.seed`. Data and start model are the same for all runs, so that only RL differs."""
    generated_tokens: PositiveInt = 60_000
    """Every run ends with the step that reaches this many generated tokens; `rl.steps` is only an upper bound."""
    metric: str = "validation/correct"
    """What is compared: a name in metrics.jsonl."""
    parallel: PositiveInt = 1
    """Runs at a time."""

    @field_validator("seeds", "include")
    @classmethod
    def _once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{twice[0]} stands there twice; name it once")
        return values

    @field_validator("seeds", "variants")
    @classmethod
    def _some(cls, values: Any) -> Any:
        if not values:
            raise ValueError("is empty; name at least one")
        return values

    @model_validator(mode="after")
    def _included_are_known(self) -> "CompareSettings":
        unknown = [name for name in self.include if name not in self.variants]
        if unknown:
            raise ValueError(f"include: unknown variant '{unknown[0]}'; choose from {', '.join(self.variants)}")
        return self

    @property
    def chosen(self) -> dict[str, Overrides]:
        """The variants to run, the baseline first."""
        return {name: self.variants[name] for name in self.include or self.variants}


class CellRecord(Settings):
    """One finished run: which variant, which seed; its artifacts are inputs named after both."""

    variant: str
    seed: int

    @property
    def key(self) -> str:
        """`appo-s1`: how roles and files name the cell."""
        return f"{self.variant}-s{self.seed}"


class PointRules(Settings):
    """Where a run that chooses branch points by entropy times future value may put them."""

    min_distance: int
    last: int
    """First index of a response that leaves too little room for a branch."""


class ComparisonSettings(Settings):
    """What the compare stage's job is told."""

    variants: dict[str, Overrides]
    """The baseline first."""
    cells: tuple[CellRecord, ...]
    failed: tuple[CellRecord, ...] = ()
    """Runs that are left out."""
    metric: str
    generated_tokens: int
    point_rules: dict[str, PointRules] = Field(default={})
    """By variant, of those that score branch points by the product."""
