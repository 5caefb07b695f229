"""Learning curves as a picture: mean over seeds with a band, one colour per variant."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from appo_core.experiments.curves import Curve, Floats, grid
from appo_core.experiments.statistics import t_quantile
from appo_core.experiments.summary import CellFigures, Summary, VariantFigures

INK, GRID = "#1f2933", "#e4e7eb"
COLOURS = (
    "#1f6fb4", "#d9730d", "#2a9d5c", "#b4307a", "#6b4fbb", "#8a6d1f", "#14919b", "#c0392b", "#52606d", "#84a729",
)  # fmt: skip
DASHES = ("-", "--", ":")
"""The second and third ten variants use the colours again with these."""
DPI = 110


def plot_curves(summary: Summary, path: Path) -> None:
    """The compared metric on the left, the training reward on the right; PNG or SVG by the path's ending."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(12.0, 5.2 + 0.1 * len(summary.variants)), layout="constrained")
    FigureCanvasAgg(canvas)
    left, right = canvas.subplots(1, 2)
    _panel(left, summary, lambda cell: cell.metric_curve, summary.metric)
    _panel(right, summary, lambda cell: cell.reward_curve, "training reward")
    handles, labels = left.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False, fontsize=9)
    canvas.savefig(path, dpi=DPI)


def band(curves: Sequence[Curve], tokens_G: Floats) -> tuple[Floats, Floats, Floats]:
    """(G,) mean, low and high: 95 % t intervals over the curves; both bounds are the mean for a single curve."""
    values_CG = np.array([curve.at(tokens_G) for curve in curves])
    mean_G, count = values_CG.mean(axis=0), len(curves)
    if count < 2:
        return mean_G, mean_G, mean_G
    half_G = t_quantile(0.975, count - 1) * values_CG.std(axis=0, ddof=1) / np.sqrt(count)
    return mean_G, mean_G - half_G, mean_G + half_G


def _panel(axes: Any, summary: Summary, pick: Callable[[CellFigures], Curve], title: str) -> None:
    for index, variant in enumerate(summary.variants):
        style = {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index // len(COLOURS) % len(DASHES)]}
        _line(axes, variant, [pick(cell) for cell in variant.cells], summary.budget, style)
    axes.set_title(f"{title}, mean over seeds, 95 % t interval", loc="left", fontsize=10, color=INK)
    axes.set_xlabel("generated tokens", color=INK)
    axes.set_xlim(0, summary.budget)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value else "0")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _line(axes: Any, variant: VariantFigures, curves: Sequence[Curve], budget: float, style: dict[str, str]) -> None:
    """From where all its curves have begun to where the last one ends."""
    tokens_G = grid(budget)
    start = max(curve.tokens[0] for curve in curves)
    end = max(curve.tokens[-1] for curve in curves)
    tokens_G = tokens_G[(tokens_G >= min(start, budget)) & (tokens_G <= end)]
    mean_G, low_G, high_G = band(curves, tokens_G)
    axes.plot(tokens_G, mean_G, linewidth=1.8, label=variant.name, **style)
    axes.fill_between(tokens_G, low_G, high_G, color=style["color"], alpha=0.12, linewidth=0)
