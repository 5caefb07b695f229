"""All figures of a comparison, from the metrics of its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from appo_core.config.compare import CellRecord, ComparisonSettings
from appo_core.experiments.curves import REWARD, Curve, Row, curve, mean_of, smooth, tokens_after
from appo_core.experiments.statistics import Estimate, Paired, estimate, holm, paired

SIGNAL = ("branching/signal_share", "branching/spread", "branching/noise_floor")
REWARD_STEPS = 5
"""Training rewards are means over this many steps: a step holds a few prompts only."""


@dataclass(frozen=True)
class CellFigures:
    """One run."""

    seed: int
    final: float
    area: float
    tokens: float
    steps: int
    seconds: float
    metric_curve: Curve
    reward_curve: Curve


@dataclass(frozen=True)
class VariantFigures:
    """All runs of one variant."""

    name: str
    overrides: Mapping[str, Any]
    cells: tuple[CellFigures, ...]
    final: Estimate
    area: Estimate
    tokens: float
    seconds: float
    steps: float
    signal: Mapping[str, float | None]
    """How much the future value had to say: means over steps and seeds; None where nothing was scored."""
    final_gain: Paired | None = None
    """Against the baseline, over the seeds that both have."""
    area_gain: Paired | None = None
    final_holm: float | None = None
    """The t-test's p-value adjusted for the number of variants."""
    area_holm: float | None = None


@dataclass(frozen=True)
class Summary:
    """What the report, the pictures and figures.json are made of."""

    metric: str
    budget: float
    variants: tuple[VariantFigures, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def baseline(self) -> VariantFigures:
        """What the others are compared with."""
        return self.variants[0]


def summarize(settings: ComparisonSettings, rows: Mapping[CellRecord, Sequence[Row]]) -> Summary:
    """Figures per variant and against the first one; raises `JobError` when a run lacks the metric."""
    found = []
    for name, overrides in settings.variants.items():
        mine = {cell: rows[cell] for cell in settings.cells if cell.variant == name}
        if mine:
            found.append(_variant(name, overrides, mine, settings))
    compared = tuple(_against(found[0], found))
    return Summary(settings.metric, settings.generated_tokens, compared, tuple(_notes(settings, compared)))


def _variant(
    name: str, overrides: Mapping[str, Any], rows: Mapping[CellRecord, Sequence[Row]], settings: ComparisonSettings
) -> VariantFigures:
    cells = tuple(_cell(cell.seed, mine, settings) for cell, mine in rows.items())
    every = [row for mine in rows.values() for row in mine]
    return VariantFigures(
        name=name,
        overrides=overrides,
        cells=cells,
        final=estimate([cell.final for cell in cells]),
        area=estimate([cell.area for cell in cells]),
        tokens=fmean(cell.tokens for cell in cells),
        seconds=fmean(cell.seconds for cell in cells),
        steps=fmean(cell.steps for cell in cells),
        signal={metric: mean_of(every, metric) for metric in SIGNAL},
    )


def _cell(seed: int, rows: Sequence[Row], settings: ComparisonSettings) -> CellFigures:
    budget = settings.generated_tokens
    learnt = curve(rows, settings.metric)
    return CellFigures(
        seed=seed,
        final=learnt.final(budget),
        area=learnt.area(budget),
        tokens=tokens_after(rows)[-1],
        steps=int(rows[-1]["step"]),
        seconds=sum(float(row.get("seconds/step", 0.0)) for row in rows),
        metric_curve=learnt,
        reward_curve=smooth(curve(rows, REWARD), REWARD_STEPS),
    )


def _against(baseline: VariantFigures, variants: Sequence[VariantFigures]) -> list[VariantFigures]:
    """The variants with their paired differences to the baseline."""
    gains = [_gains(baseline, one) if one is not baseline else (None, None) for one in variants]
    adjusted = [
        holm([gain[place].t_test if gain[place] else float("nan") for gain in gains])  # type: ignore[union-attr]
        for place in (0, 1)
    ]
    return [
        _replace(one, final, area, adjusted[0][index], adjusted[1][index])
        for index, (one, (final, area)) in enumerate(zip(variants, gains, strict=True))
    ]


def _replace(
    one: VariantFigures, final: Paired | None, area: Paired | None, final_p: float, area_p: float
) -> VariantFigures:
    import dataclasses

    return dataclasses.replace(one, final_gain=final, area_gain=area, final_holm=final_p, area_holm=area_p)


def _gains(baseline: VariantFigures, other: VariantFigures) -> tuple[Paired | None, Paired | None]:
    """Differences in the final value and in the area, over shared seeds."""
    mine = {cell.seed: cell for cell in baseline.cells}
    pairs = [(mine[cell.seed], cell) for cell in other.cells if cell.seed in mine]
    if not pairs:
        return None, None
    final = paired([a.final for a, _ in pairs], [b.final for _, b in pairs])
    return final, paired([a.area for a, _ in pairs], [b.area for _, b in pairs])


def _notes(settings: ComparisonSettings, variants: Sequence[VariantFigures]) -> list[str]:
    """Where the comparison is less than it was meant to be."""
    notes = []
    if settings.failed:
        notes.append(f"Runs that failed and are left out: {', '.join(cell.key for cell in settings.failed)}.")
    early = [
        f"{one.name} (seed {cell.seed}, {cell.tokens:,.0f} tokens)"
        for one in variants
        for cell in one.cells
        if cell.tokens < settings.generated_tokens
    ]
    if early:
        notes.append(f"Ended by `rl.steps` before the budget; their last value stands for it: {', '.join(early)}.")
    return notes
