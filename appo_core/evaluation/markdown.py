"""Reports and comparisons as markdown tables."""

from collections.abc import Iterable, Sequence

from appo_core.evaluation.compare import Comparison
from appo_core.evaluation.report import Report, Totals

OVERALL = "**Mean of benchmarks**"


def report_markdown(report: Report) -> str:
    """The whole report: pass@k with intervals, how samples ended, and what to know when reading it."""
    rows = [(b.display_name, b) for b in report.benchmarks] + [(OVERALL, report.overall)]
    parts = [
        f"# Evaluation of {report.model}",
        f"{report.k} samples a question, seed {report.seed}; percentages with 95 % bootstrap intervals over questions "
        f"({report.resamples} resamples).",
        _table(_score_header(report), [_score_row(report, name, totals) for name, totals in rows]),
        "## How samples ended",
        _table(["Benchmark", "Ended", "Failures", "Decided by"], [_ending_row(name, totals) for name, totals in rows]),
        "## Notes",
        "\n".join(f"- {note}" for note in [*report.notes, *_judge_note(report)]),
    ]
    return "\n\n".join(parts) + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """Two models side by side, with the paired difference."""
    first, second = comparison.names
    header = ["Benchmark", "Questions", first, second, f"{second} - {first}, points"]
    rows = [
        [row.title, str(row.questions), row.first.text(), row.second.text(), _signed(row.difference.text())]
        for row in comparison.rows
    ]
    note = (
        f"pass@{comparison.k} in percent with 95 % bootstrap intervals over questions; differences are paired: both "
        "models' answers to the same questions are resampled together."
    )
    return "\n\n".join([_table(header, rows), note, *comparison.notes]) + "\n"


def _score_header(report: Report) -> list[str]:
    ks = [f"pass@{k}" for k in range(1, report.k + 1)]
    return ["Benchmark", "Questions", "Samples", *ks, "F1", "Tool calls / sample", "Tokens / response"]


def _score_row(report: Report, name: str, totals: Totals) -> list[str]:
    figures = [totals.pass_at[k].text() for k in range(1, report.k + 1)]
    f1 = totals.f1.text() if totals.f1 is not None else ""
    numbers = [f"{totals.tool_calls_per_sample:.2f}", f"{totals.mean_response_tokens:.0f}"]
    return [name, str(totals.questions), str(totals.samples), *figures, f1, *numbers]


def _ending_row(name: str, totals: Totals) -> list[str]:
    counts = (totals.finish, totals.failures, totals.methods)
    return [name, *(", ".join(f"{key} {count}" for key, count in each.items()) or "none" for each in counts)]


def _judge_note(report: Report) -> Iterable[str]:
    if report.judge is not None:
        judge = report.judge
        yield (
            f"Judge {judge.model} (serves {judge.identity}) looked at {judge.judged} answers the rules call wrong: "
            f"{judge.turned_right} turned right, {judge.no_verdict} without a verdict."
        )


def _signed(text: str) -> str:
    return text if text.startswith(("-", "n/a")) else f"+{text}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
