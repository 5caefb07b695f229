"""The report and the comparison as pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appo_core.evaluation.compare import Comparison
from appo_core.evaluation.report import Figure, Report

INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e7eb"
BLUE, ORANGE = "#1f6fb4", "#d9730d"
DPI = 150
Series = tuple[str, str, Sequence[Figure]]


def plot_report(report: Report, path: Path) -> None:
    """pass@1 and pass@k of every benchmark, and of their mean, with 95 % intervals."""
    titles = [benchmark.display_name for benchmark in report.benchmarks] + ["Mean of benchmarks"]
    totals = [*report.benchmarks, report.overall]
    series: list[Series] = [("pass@1", BLUE, [each.pass_at[1] for each in totals])]
    if report.k > 1:
        series.append((f"pass@{report.k}", ORANGE, [each.pass_at[report.k] for each in totals]))
    cut = ", first questions only" if any(each.questions < each.available for each in report.benchmarks) else ""
    _plot(path, f"{report.model}: {report.k} samples a question{cut}", titles, series)


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Two models on every benchmark, with 95 % intervals."""
    first, second = comparison.names
    series = [
        (first, ORANGE, [row.first for row in comparison.rows]),
        (second, BLUE, [row.second for row in comparison.rows]),
    ]
    _plot(path, f"pass@{comparison.k}: {second} against {first}", [row.title for row in comparison.rows], series)


def _plot(path: Path, title: str, rows: Sequence[str], series: Sequence[Series]) -> None:
    """Dots with intervals, one row per benchmark, the mean set apart at the bottom."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(8.0, 1.5 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.add_subplot()
    for index, (name, colour, figures) in enumerate(series):
        shift = (index - (len(series) - 1) / 2) * 0.26
        _dots(axes, [row + shift for row in range(len(rows))], figures, name, colour)
    _decorate(axes, title, rows)
    canvas.savefig(path, dpi=DPI)


def _dots(axes: Any, heights: Sequence[float], figures: Sequence[Figure], name: str, colour: str) -> None:
    """One series: a dot, its interval and its value."""
    for position, (height, figure) in enumerate(zip(heights, figures, strict=True)):
        if figure.value is None or figure.low is None or figure.high is None:
            continue
        value, low, high = (100 * number for number in (figure.value, figure.low, figure.high))
        axes.plot([low, high], [height, height], color=colour, linewidth=2, alpha=0.45, solid_capstyle="round")
        axes.plot(value, height, "o", color=colour, markersize=6, label=name if position == 0 else None)
        axes.annotate(
            f"{value:.1f}", (max(high, value), height), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=8, color=colour,
        )  # fmt: skip


def _decorate(axes: Any, title: str, rows: Sequence[str]) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=26)
    axes.set_yticks(range(len(rows)), rows)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axhline(len(rows) - 1.5, color=MUTED, linewidth=0.8)
    axes.set_xlim(-2, 108)
    axes.set_xlabel("percent of questions, 95 % interval", color=MUTED)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.995), ncols=2, frameon=False, fontsize=9)
