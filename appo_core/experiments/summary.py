"""All figures of a comparison, from the metrics of its runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from appo_core.config.compare import CellRecord, ComparisonSettings
from appo_core.experiments.curves import REWARD, Curve, Row, curve, mean_of, smooth, tokens_after
from appo_core.experiments.overlap import Overlap
from appo_core.experiments.placement import Placement
from appo_core.experiments.regions import REGIONS
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
class RegionFigures:
    """One region of responses: its share of a variant's branch points, and of all tokens it generated."""

    name: str
    points: Estimate
    """Over seeds."""
    tokens: float


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
    regions: tuple[RegionFigures, ...] = ()
    """Where its branch points fell; empty for a variant that does not branch."""
    points: int = 0
    overlap: Overlap = field(default=Overlap())
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


@dataclass(frozen=True)
class Run:
    """What one finished run left behind."""

    cell: CellRecord
    rows: Sequence[Row]
    placement: Placement


def summarize(settings: ComparisonSettings, runs: Sequence[Run]) -> Summary:
    """Figures per variant and against the first one; raises `JobError` when a run lacks the metric."""
    found = []
    for name, overrides in settings.variants.items():
        mine = [run for run in runs if run.cell.variant == name]
        if mine:
            found.append(_variant(name, overrides, mine, settings))
    compared = tuple(_against(found[0], found))
    return Summary(settings.metric, settings.generated_tokens, compared, tuple(_notes(settings, compared)))


def _variant(
    name: str, overrides: Mapping[str, Any], runs: Sequence[Run], settings: ComparisonSettings
) -> VariantFigures:
    cells = tuple(_cell(run.cell.seed, run.rows, settings) for run in runs)
    every = [row for run in runs for row in run.rows]
    whole = Placement.total(run.placement for run in runs)
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
        regions=_regions([run.placement for run in runs], whole),
        points=whole.points.total(),
        overlap=whole.overlap,
    )


def _regions(placements: Sequence[Placement], whole: Placement) -> tuple[RegionFigures, ...]:
    """Shares over the runs that branched at all."""
    branched = [one for one in placements if one.points.total()]
    if not branched:
        return ()
    return tuple(
        RegionFigures(name, estimate([one.share_of_points(name) for one in branched]), whole.share_of_tokens(name))
        for name in REGIONS
        if whole.points[name] or whole.tokens[name]
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
    gains = [_gains(baseline, one) for one in variants]
    final_p = holm([final.t_test if final else math.nan for final, _ in gains])
    area_p = holm([area.t_test if area else math.nan for _, area in gains])
    return [
        replace(one, final_gain=final, area_gain=area, final_holm=final_p[index], area_holm=area_p[index])
        for index, (one, (final, area)) in enumerate(zip(variants, gains, strict=True))
    ]


def _gains(baseline: VariantFigures, other: VariantFigures) -> tuple[Paired | None, Paired | None]:
    """Differences in the final value and in the area, over shared seeds; none for the baseline itself."""
    if other is baseline:
        return None, None
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
