"""Suite `predictions`: sampled answers in `samples/<benchmark>.jsonl`. Context: `samples`, k."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from appo_core.checks.rules import Context, Rule, Suite, faultless, has_rows, unique
from appo_core.data.readers import read_jsonl
from appo_core.jobs.contract import JobError

SCORES = ("correct", "f1")
"""Fields that are scores in [0, 1]; a benchmark without token F1 has no `f1`."""


def table(folder: Path, context: Context) -> pd.DataFrame:
    """One row per sample: id, and faults as text, null when there are none."""
    files = sorted((folder / "samples").glob("*.jsonl"))
    if not files:
        raise JobError(f"{folder / 'samples'}: no <benchmark>.jsonl file", remedy="run the evaluation again")
    rows = [{"benchmark": file.stem, **row} for file in files for row in read_jsonl(str(file))]
    counts = Counter((row["benchmark"], str(row.get("id"))) for row in rows)
    return pd.DataFrame([measure(row, counts, context.get("samples")) for row in rows]).astype(object)


def measure(row: dict[str, Any], counts: Counter[tuple[str, str]], samples: int | None) -> dict[str, Any]:
    """What the rules look at in one sample."""
    copies = counts[row["benchmark"], str(row.get("id"))]
    missing = next((name for name in ("id", "sample") if name not in row), None)
    return {
        "id": f"{row['benchmark']}/{row.get('id')}#{row.get('sample')}",
        "fields": f"{missing} is missing" if missing else None,
        "count": None if samples in (None, copies) else f"{copies} samples instead of {samples}",
        "range": range_fault(row),
    }


def range_fault(row: dict[str, Any]) -> str | None:
    """A sample that was not scored, or the first score outside [0, 1]; None when all is well."""
    if row.get("correct") is None:
        return "correct is missing"
    for name in SCORES:
        value = row.get(name)
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
            return f"{name} {value}"
    return None


def rules(_context: Context) -> tuple[Rule, ...]:
    """The suite's rules."""
    again = "run the evaluation again; finished samples are kept"
    return (
        has_rows(again),
        faultless("fields", "fields", again),
        unique("unique samples", "id", again),
        faultless("every question exactly k times", "count", again),
        faultless("scored, in [0, 1]", "range", "report this as a fault of the scorer, with the sample"),
    )


SUITE = Suite(table, rules)
