from pathlib import Path
from typing import Any

import pytest

from appo_core.checks.scores import table
from appo_core.data.writers import write_json
from appo_core.jobs.contract import JobError


def _figure(value: float | None, low: float = 0.2, high: float = 0.9) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def _faults(folder: Path, pass_at: dict[str, Any], **context: Any) -> dict[str, str]:
    totals = {"pass_at": pass_at, "f1": None}
    write_json(folder / "report.json", {"benchmarks": [{"name": "aime24", **totals}], "overall": totals})
    found = table(folder, context).set_index("id")["fault"].dropna().to_dict()
    return {name: fault for name, fault in found.items() if not name.startswith("overall")}


def test_sound_figures(tmp_path: Path) -> None:
    assert _faults(tmp_path, {"1": _figure(0.4), "2": _figure(0.5), "10": _figure(0.6)}) == {}


def test_faults_are_named(tmp_path: Path) -> None:
    found = _faults(tmp_path, {"1": _figure(0.4), "2": _figure(0.3), "3": _figure(None), "4": _figure(0.95)})
    assert found == {
        "aime24 pass@2": "0.3 is below the 0.4 of a smaller k",
        "aime24 pass@3": "not defined",
        "aime24 pass@4": "0.95 is outside its interval [0.2, 0.9]",
    }


def test_missing_benchmarks(tmp_path: Path) -> None:
    assert _faults(tmp_path, {"1": _figure(0.4)}, benchmarks=["aime24", "gaia"]) == {"gaia": "not reported"}


def test_another_file_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"kept": 3})
    with pytest.raises(JobError, match="not an evaluation report"):
        table(tmp_path, {})
