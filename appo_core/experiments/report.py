"""A comparison as markdown and as plain figures."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from appo_core.experiments.regions import REGIONS
from appo_core.experiments.statistics import Estimate, Paired
from appo_core.experiments.summary import SIGNAL, RegionFigures, Summary, VariantFigures

METHOD = (
    "Mean over seeds with 95 % intervals (Student's t over seeds). The value at the budget is linear between the two "
    "validations around it; the area is the mean height of the learning curve up to the budget. Differences are "
    "paired by seed: one seed gives every variant the same prompts in the same order. `p` is of the paired t-test, "
    "`Holm` the same adjusted for the number of variants, `flip` of the exact sign-flip test, which cannot fall below "
    "2 / 2^n for n seeds. Only RL differs between seeds: data and start model are shared, so the intervals say nothing "
    "about other start models. Times are of one machine, and of runs side by side where several ran at once."
)


def report_markdown(summary: Summary) -> str:
    """The whole report."""
    parts = [
        f"# {summary.metric} at {summary.budget:,.0f} generated tokens",
        table_markdown(summary),
        METHOD,
        *summary.notes,
        "![learning curves](curves.png)",
        "## Cost",
        _table(["variant", "tokens", "steps", "seconds"], (_cost(one) for one in summary.variants)),
        "## Signal of the future value",
        "Share of rollouts whose future value spreads more than the noise floor, its spread and that floor; means over "
        "steps and seeds.",
        _table(["variant", *(name.partition("/")[2] for name in SIGNAL)], (_signal(one) for one in summary.variants)),
        *placement_markdown(summary),
        "## Variants",
        _table(["variant", "differs by"], ([one.name, _overrides(one)] for one in summary.variants), align="---"),
    ]
    return "\n\n".join(parts) + "\n"


def table_markdown(summary: Summary) -> str:
    """The main table: values, areas, differences."""
    base = summary.baseline.name
    header = ["variant", "seeds", "at the budget", f"- {base}", "p", "Holm", "flip", "area", f"area - {base}", "p"]
    return _table([*header, "Holm"], (_row(one) for one in summary.variants))


def placement_markdown(summary: Summary) -> list[str]:
    """Where branch points fell, and whether entropy alone would have put them there; nothing if nothing branched."""
    branched = [one for one in summary.variants if one.regions]
    if not branched:
        return []
    names = [name for name in REGIONS if any(name == region.name for one in branched for region in one.regions)]
    parts = [
        "## Where branch points fell",
        "Percent of a variant's branch points in each part of the responses [95 % t interval over seeds] / percent of "
        "all tokens it generated there. A tag belongs to what it opens or closes; `result`: right behind a tool's "
        "result.",
        _table(
            ["variant", "points", *names], ([one.name, f"{one.points:,}", *_places(one, names)] for one in branched)
        ),
    ]
    scored = [one for one in branched if one.overlap.points]
    if not scored:
        return parts
    return [
        *parts,
        "## What the future value changes",
        "Over rollouts that were branched and whose future value had something to say: the percentage of branch points "
        "that entropy alone, choosing as many in the same rollout by the same rules, would have chosen too; `blind`: "
        "what a random choice among the tokens allowed would share.",
        _table(["variant", "rollouts", "points", "shared", "blind"], (_shared(one) for one in scored)),
    ]


def table_rows(summary: Summary) -> list[dict[str, str]]:
    """The main table for a UI: one mapping per variant."""
    return [
        {
            "variant": one.name,
            "seeds": str(len(one.cells)),
            "at the budget": _estimate(one.final),
            "difference": _gain(one.final_gain),
            "p": _p(one.final_gain.t_test if one.final_gain else None),
            "area": _estimate(one.area),
            "tokens": f"{one.tokens:,.0f}",
            "seconds": f"{one.seconds:.0f}",
        }
        for one in summary.variants
    ]


def figures(summary: Summary) -> dict[str, Any]:
    """Everything as JSON values; NaN becomes None."""
    found: dict[str, Any] = _plain(dataclasses.asdict(summary))
    return found


def _row(one: VariantFigures) -> list[str]:
    final, area = one.final_gain, one.area_gain
    return [
        one.name,
        str(len(one.cells)),
        _estimate(one.final),
        _gain(final),
        _p(final.t_test if final else None),
        _p(one.final_holm),
        _p(final.sign_flip if final else None),
        _estimate(one.area),
        _gain(area),
        _p(area.t_test if area else None),
        _p(one.area_holm),
    ]


def _cost(one: VariantFigures) -> list[str]:
    return [one.name, f"{one.tokens:,.0f}", f"{one.steps:.1f}", f"{one.seconds:.0f}"]


def _signal(one: VariantFigures) -> list[str]:
    return [one.name, *("" if value is None else f"{value:.3g}" for value in one.signal.values())]


def _places(one: VariantFigures, names: Sequence[str]) -> list[str]:
    by_name = {region.name: region for region in one.regions}
    return [_place(by_name[name]) if name in by_name else "" for name in names]


def _place(region: RegionFigures) -> str:
    points = region.points
    interval = "" if math.isnan(points.low) else f" [{100 * points.low:.1f}, {100 * points.high:.1f}]"
    return f"{100 * points.mean:.1f}{interval} / {100 * region.tokens:.1f}"


def _shared(one: VariantFigures) -> list[str]:
    found = one.overlap
    shares = [f"{100 * count / found.points:.1f}" for count in (found.both, found.by_chance)]
    return [one.name, f"{found.rollouts:,}", f"{found.points:,}", *shares]


def _overrides(one: VariantFigures) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in one.overrides.items()) or "nothing"


def _estimate(value: Estimate) -> str:
    if math.isnan(value.low):
        return f"{value.mean:.3f}"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _gain(gain: Paired | None) -> str:
    if gain is None:
        return ""
    one = gain.difference
    if math.isnan(one.low):
        return f"{one.mean:+.3f}"
    return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> str:
    lines = [header, ["---", *[align] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
