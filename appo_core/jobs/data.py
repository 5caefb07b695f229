"""The data stage's work: read a source, repair and decontaminate it, write the datasets.

Writes under the job's output, each folder one dataset: `sft/`, `rl/`, `benchmarks/`, `corpus/` (only those with rows),
with `report.json` in `sft/` and `rl/` naming every repaired and dropped row.
"""

from pathlib import Path

from appo_core.config import DataSettings
from appo_core.data.prepare import Prepared, prepare
from appo_core.data.sources import load
from appo_core.data.writers import write_json, write_json_gz, write_jsonl, write_rl
from appo_core.jobs.contract import Job, Reporter, run_job


def work(job: Job, reporter: Reporter) -> None:
    """Run the stage; raises `JobError` naming the file, row and field that cannot be used."""
    settings = DataSettings.model_validate(job.settings)
    reporter.progress(0, 3, unit="steps", message="reading")
    raw = load(settings.source)
    reporter.progress(1, 3, unit="steps", message="repairing and comparing with the benchmarks")
    prepared = prepare(raw, settings)
    reporter.progress(2, 3, unit="steps", message="writing")
    write(prepared, job.output)
    reporter.progress(3, 3, unit="steps", message="done")
    reporter.result(**_metrics(prepared))


def write(prepared: Prepared, output: Path) -> None:
    """Write every dataset that has rows."""
    data = prepared.data
    write_rl(output / "rl" / "train.parquet", data.rl_train)
    write_rl(output / "rl" / "valid.parquet", data.rl_valid)
    write_json(output / "rl" / "report.json", prepared.rl.report())
    if data.sft:
        write_jsonl(output / "sft" / "train.jsonl", data.sft)
        write_json(output / "sft" / "report.json", prepared.sft.report())
    for name, rows in data.benchmarks.items():
        write_jsonl(output / "benchmarks" / name / "test.jsonl", rows)
    if data.corpus:
        write_jsonl(output / "corpus" / "corpus.jsonl", data.corpus)
    if data.search_cache:
        write_json_gz(output / "corpus" / "search_cache.json.gz", data.search_cache)


def _metrics(prepared: Prepared) -> dict[str, object]:
    data = prepared.data
    return {
        **prepared.rl.metrics("rl"),
        **prepared.sft.metrics("sft"),
        "rl_train_rows": len(data.rl_train),
        "rl_valid_rows": len(data.rl_valid),
        "benchmark_rows": {name: len(rows) for name, rows in data.benchmarks.items()},
        "corpus_rows": len(data.corpus),
        "recorded_searches": len(data.search_cache),
    }


if __name__ == "__main__":
    run_job(work)
