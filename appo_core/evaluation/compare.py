"""Two reports side by side: a paired bootstrap over the questions that both answered."""

from dataclasses import dataclass

import numpy as np

from appo_core.evaluation.aggregate import benchmark_seed
from appo_core.evaluation.passk import Floats, bootstrap_means, interval, pass_at_k
from appo_core.evaluation.report import BenchmarkReport, Figure, Outcomes, Report
from appo_core.jobs.contract import JobError

OVERALL_TITLE = "Mean of benchmarks"


@dataclass(frozen=True)
class ComparisonRow:
    """One benchmark (or their mean): both models and `second` - `first`."""

    title: str
    questions: int
    first: Figure
    second: Figure
    difference: Figure

    @property
    def intervals_apart(self) -> bool:
        """Whether the two 95 % intervals do not touch."""
        bounds = (self.first.low, self.first.high, self.second.low, self.second.high)
        if None in bounds:
            return False
        low_a, high_a, low_b, high_b = (float(bound or 0.0) for bound in bounds)
        return high_a < low_b or high_b < low_a


@dataclass(frozen=True)
class Comparison:
    """pass@k of two models on the questions that both answered; the last row is the mean of the benchmarks."""

    names: tuple[str, str]
    k: int
    rows: list[ComparisonRow]
    notes: list[str]

    @property
    def overall(self) -> ComparisonRow:
        """The mean of the benchmarks."""
        return self.rows[-1]

    def markdown(self) -> str:
        """As a markdown table."""
        from appo_core.evaluation.markdown import comparison_markdown

        return comparison_markdown(self)


def compare(report_a: Report, report_b: Report, *, names: tuple[str, str] | None = None, k: int = 1) -> Comparison:
    """Compare `report_b` with `report_a`; raises `JobError` when they share no question or have fewer than k samples.

    Both models' values on a question are resampled together, so what makes a question hard for both cancels out.
    """
    others = {benchmark.name: benchmark for benchmark in report_b.benchmarks}
    pairs = [(b, others[b.name]) for b in report_a.benchmarks if b.name in others]
    paired = [(mine, _paired_values(mine, other, k)) for mine, other in pairs]
    shared = [(benchmark, values) for benchmark, values in paired if len(values)]
    if not shared or k > min(report_a.k, report_b.k):
        raise JobError(
            f"{report_a.model} and {report_b.model}: no question with {k} samples in both reports",
            remedy="evaluate both models on the same benchmarks with the same number of samples",
        )
    means = [_means(report_a, benchmark.name, values) for benchmark, values in shared]
    rows = [
        _row(benchmark.display_name, len(values), values.mean(axis=0), resampled)
        for (benchmark, values), resampled in zip(shared, means, strict=True)
    ]
    overall_point = np.mean([values.mean(axis=0) for _, values in shared], axis=0)
    overall_size = sum(len(values) for _, values in shared)
    rows.append(_row(OVERALL_TITLE, overall_size, overall_point, np.mean(means, axis=0)))
    return Comparison(names or (report_a.model, report_b.model), k, rows, _notes(report_a, report_b, paired))


def _paired_values(mine: BenchmarkReport, other: BenchmarkReport, k: int) -> Floats:
    """pass@k of both models and their difference on shared questions: (Q, 3)."""
    first, second = _by_id(mine.outcomes, k), _by_id(other.outcomes, k)
    both = [(first[id], second[id]) for id in first if id in second]
    values = np.asarray(both, dtype=np.float64).reshape(len(both), 2)
    return np.column_stack([values, values[:, 1] - values[:, 0]])


def _by_id(outcomes: Outcomes, k: int) -> dict[str, float]:
    return dict(zip(outcomes.ids, pass_at_k(outcomes.samples, outcomes.correct, k).tolist(), strict=True))


def _means(report: Report, name: str, values_Q3: Floats) -> Floats:
    return bootstrap_means(values_Q3, report.resamples, benchmark_seed(report.seed, name))


def _row(title: str, questions: int, point_3: Floats, means_R3: Floats) -> ComparisonRow:
    first, second, difference = (Figure.of(estimate) for estimate in interval(point_3, means_R3))
    return ComparisonRow(title, questions, first, second, difference)


def _notes(report_a: Report, report_b: Report, paired: list[tuple[BenchmarkReport, Floats]]) -> list[str]:
    """Where the comparison covers less than the reports do."""
    covered = {benchmark.name for benchmark, values in paired if len(values)}
    alone = sorted({b.name for b in (*report_a.benchmarks, *report_b.benchmarks)} - covered)
    notes = [f"Left out, not in both reports: {', '.join(alone)}."] if alone else []
    fewer = [b.display_name for b, values in paired if 0 < len(values) < b.questions]
    return notes + ([f"Only shared questions count in: {', '.join(fewer)}."] if fewer else [])
