"""Stage work: RL runs side by side at equal generated tokens.

Inputs: `<variant>-s<seed>.checkpoint` and `<variant>-s<seed>.rollouts` of every cell. Writes `report.md`, `table.md`,
`figures.json`, `curves.png` and `curves.svg` under the output.
"""

import json

from appo_core.config.compare import CellRecord, ComparisonSettings
from appo_core.experiments.curves import read_rows
from appo_core.experiments.placement import place, read_dumps
from appo_core.experiments.plot import plot_curves
from appo_core.experiments.regions import token_text
from appo_core.experiments.report import figures, report_markdown, table_markdown, table_rows
from appo_core.experiments.summary import Run, summarize
from appo_core.jobs.contract import Job, Reporter, run_job


def work(job: Job, reporter: Reporter) -> None:
    """Run the stage; raises `JobError`."""
    settings = ComparisonSettings.model_validate(job.settings)
    runs = []
    for done, cell in enumerate(settings.cells):
        reporter.progress(done, len(settings.cells), unit="runs", message=f"reading {cell.key}")
        runs.append(_run(job, settings, cell))
    summary = summarize(settings, runs)
    plot_curves(summary, job.output / "curves.png")
    plot_curves(summary, job.output / "curves.svg")
    content = figures(summary) | {"table": table_rows(summary)}
    (job.output / "figures.json").write_text(json.dumps(content, indent=1))
    (job.output / "table.md").write_text(table_markdown(summary) + "\n")
    (job.output / "report.md").write_text(report_markdown(summary))
    reporter.result(
        **{f"{one.name}.{settings.metric}": one.final.mean for one in summary.variants}, cells=len(settings.cells)
    )


def _run(job: Job, settings: ComparisonSettings, cell: CellRecord) -> Run:
    checkpoint, rollouts = job.input(f"{cell.key}.checkpoint"), job.input(f"{cell.key}.rollouts")
    text_of = token_text(checkpoint / "hf" / "tokenizer.json")
    placement = place(read_dumps(rollouts), text_of, settings.point_rules.get(cell.variant))
    return Run(cell, read_rows(checkpoint / "metrics.jsonl"), placement)


if __name__ == "__main__":
    run_job(work)
