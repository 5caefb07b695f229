"""From a comparison's settings to its cells: one RL run per variant and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from appo_core.config import AlgorithmSettings, PipelineSettings, RlSettings
from appo_core.config.compare import Overrides, PointRules
from appo_core.jobs.contract import JobError
from appo_core.methods.registry import method_class

PREFIX = "rl."
OWN = ("rl.seed", "rl.max_generated_tokens")
"""Set by the comparison itself."""


@dataclass(frozen=True)
class Cell:
    """One run of a comparison."""

    variant: str
    seed: int
    rl: RlSettings

    @property
    def key(self) -> str:
        """`appo-s1`."""
        return f"{self.variant}-s{self.seed}"


def cells(settings: PipelineSettings) -> list[Cell]:
    """Every variant with every seed, seed by seed, so that an early end leaves whole rows of variants to compare.

    Raises `JobError` for an override that is no RL setting or whose value does not fit.
    """
    wanted = settings.compare
    chosen = {name: variant_settings(settings.rl, name, overrides) for name, overrides in wanted.chosen.items()}
    return [
        Cell(name, seed, rl.model_copy(update={"seed": seed, "max_generated_tokens": wanted.generated_tokens}))
        for seed in wanted.seeds
        for name, rl in chosen.items()
    ]


def point_rules(cells: Sequence[Cell]) -> dict[str, PointRules]:
    """By variant, of those that branch at the best products of entropy and future value."""
    rules: dict[str, PointRules] = {}
    for cell in cells:
        algorithm, branching = cell.rl.algorithm, cell.rl.algorithm.branching
        if method_class(algorithm.name).scored_branches and branching.score == "product":
            last = cell.rl.limits.max_response_tokens - branching.min_room
            rules[cell.variant] = PointRules(min_distance=branching.min_distance, last=last)
    return rules


def variant_settings(base: RlSettings, name: str, overrides: Overrides) -> RlSettings:
    """The RL settings of one variant.

    Of `base.algorithm` counts what differs from its own method's defaults: another method then brings its own
    defaults for the rest. Raises `JobError`.
    """
    document = base.model_dump(mode="json") | {"algorithm": _given(base.algorithm, overrides)}
    for key, value in overrides.items():
        if not key.startswith(PREFIX) or key in OWN:
            raise JobError(
                f"compare.variants.{name}: '{key}' cannot differ between variants",
                remedy=f"name keys below rl, other than {' and '.join(OWN)}",
            )
        _put(document, key.removeprefix(PREFIX).split("."), value)
    try:
        return RlSettings.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("rl", *first["loc"]))
        raise JobError(f"compare.variants.{name}: {where}: {first['msg']}", remedy="correct this variant") from None


def _given(algorithm: AlgorithmSettings, overrides: Overrides) -> dict[str, Any]:
    """What was chosen for the chain's method; its options only for a variant of the same method."""
    chosen = algorithm.model_dump(mode="json")
    kept = _difference(chosen, AlgorithmSettings.model_validate({"name": algorithm.name}).model_dump(mode="json"))
    kept["name"] = algorithm.name
    if overrides.get("rl.algorithm.name", algorithm.name) != algorithm.name:
        kept.pop("options", None)
    return kept


def _difference(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values, group by group, that are not the defaults."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping):
            if inner := _difference(value, defaults[key]):
                found[key] = inner
        elif key not in defaults or value != defaults[key]:
            found[key] = value
    return found


def _put(document: dict[str, Any], parts: list[str], value: Any) -> None:
    *groups, last = parts
    for group in groups:
        document = document.setdefault(group, {})
        if not isinstance(document, dict):
            raise JobError(f"compare.variants: '{'.'.join(parts)}' goes below a value", remedy="correct the key")
    document[last] = value
