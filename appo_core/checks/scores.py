"""Suite `scores`: the figures of an evaluation's `report.json`. Context: `benchmarks`, names that must be reported."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from appo_core.checks.rules import Context, Rule, Suite, between, faultless, has_rows
from appo_core.data.readers import Row, read_json_object
from appo_core.jobs.contract import JobError

_ROUNDING = 1e-9
_AGAIN = "score the samples again; if it stays, report this as a fault of the scorer"


def table(folder: Path, context: Context) -> pd.DataFrame:
    """One row per figure (`aime24 pass@1`): value and 95 % interval in [0, 1], and its fault, null when none."""
    path = folder / "report.json"
    report = read_json_object(str(path))
    try:
        rows = [row for name, totals in _totals(report) for row in figures(name, totals)]
        reported = {entry["name"] for entry in report["benchmarks"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"{path}: not an evaluation report ({error!r})", remedy="run the evaluation again") from error
    rows += [{"id": name, "fault": "not reported"} for name in context.get("benchmarks", ()) if name not in reported]
    return pd.DataFrame(rows, columns=["id", "value", "low", "high", "fault"]).astype(
        {"value": float, "low": float, "high": float, "fault": object}
    )


def figures(name: str, totals: Row) -> Iterator[Row]:
    """The figures of one benchmark, with what is wrong among them: pass@k must not fall as k rises."""
    before = 0.0
    for k, figure in sorted(totals["pass_at"].items(), key=lambda item: int(item[0])):
        fault = _fault(figure)
        if not fault and figure["value"] < before - _ROUNDING:
            fault = f"{figure['value']} is below the {before} of a smaller k"
        before = figure["value"] if not fault else before
        yield {"id": f"{name} pass@{k}", **figure, "fault": fault}
    if totals.get("f1"):
        yield {"id": f"{name} f1", **totals["f1"], "fault": _fault(totals["f1"])}


def _totals(report: Row) -> Iterator[tuple[str, Row]]:
    yield from ((entry["name"], entry) for entry in report["benchmarks"])
    yield "overall", report["overall"]


def _fault(figure: dict[str, Any]) -> str | None:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if None in (value, low, high):
        return "not defined"
    return None if low - _ROUNDING <= value <= high + _ROUNDING else f"{value} is outside its interval [{low}, {high}]"


def rules(_context: Context) -> tuple[Rule, ...]:
    """The suite's rules."""
    return (
        has_rows("evaluate at least one benchmark"),
        between("values in [0, 1]", "value", 0, 1, _AGAIN),
        between("lower bounds in [0, 1]", "low", 0, 1, _AGAIN),
        between("upper bounds in [0, 1]", "high", 0, 1, _AGAIN),
        faultless("defined, inside the interval, rising with k, none missing", "fault", _AGAIN),
    )


SUITE = Suite(table, rules)
