"""The data stage and its checks on the published files, through the stage's own command."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from appo_core.checks import run_suite
from appo_core.checks.prompts import table
from appo_core.jobs.contract import EXIT_BAD_INPUT, EXIT_OK, Event

pytestmark = pytest.mark.slow


def _run(folder: Path, settings: dict[str, Any]) -> tuple[int, Event]:
    """Exit code and last event of the stage's command; its output lies in `folder / "out"`."""
    job = {"settings": settings, "output": str(folder / "out"), "work": str(folder / "work")}
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "appo_core.jobs.data", str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    event = Event.parse(done.stdout.splitlines()[-1])
    assert event is not None
    return done.returncode, event


def _files(shared: Path, **changes: Any) -> dict[str, Any]:
    data = shared / "data"
    source = {
        "kind": "files",
        "rl_train": [str(data / "rl" / "train_10k.parquet")],
        "rl_valid": [str(data / "rl" / "valid.parquet")],
        "benchmarks": str(data / "benchmarks"),
        "search_cache": str(data / "search_cache.json.gz"),
    }
    return {"source": source | changes}


@pytest.fixture(scope="module")
def published(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published prompts as they are, in the layout of a dataset."""
    folder = tmp_path_factory.mktemp("published")
    for name, source in (("train", "train_10k"), ("valid", "valid")):
        shutil.copyfile(shared / "data" / "rl" / f"{source}.parquet", folder / f"{name}.parquet")
    return folder


def test_the_checks_find_every_known_fault_of_the_published_rows(shared: Path, published: Path) -> None:
    frame = table(published, {"benchmarks": shared / "data" / "benchmarks"})
    assert len(frame) == 10_180
    assert frame["controls"].str.contains("U+0008", regex=False).all()
    assert frame["copy_of"].notna().sum() == 37
    assert list(frame.loc[frame["gold"].notna(), "id"]) == ["train-5274"]
    found = pd.crosstab(frame["id"].str.split("-").str[0], frame["benchmark"])
    assert found.loc["valid"].to_dict() == {
        "aime24": 30, "bamboogle": 20, "hotpotqa": 0, "math500": 30, "musique": 1, "simpleqa": 0,
    }  # fmt: skip
    assert found.loc["train", ["hotpotqa", "simpleqa"]].to_dict() == {"hotpotqa": 5, "simpleqa": 14}
    report = run_suite("rl", published, context={"benchmarks": shared / "data" / "benchmarks"})
    assert {result.name for result in report.failures} == {
        "gold answer not blank",
        "no question twice",
        "no control characters",
        "no benchmark item",
    }


def test_after_the_stage_the_published_rows_pass(shared: Path, tmp_path: Path) -> None:
    code, event = _run(tmp_path, _files(shared))
    assert (code, event.event) == (EXIT_OK, "result")
    metrics = event.metrics
    assert metrics["rl_repaired"] == 10_180
    assert metrics["rl_dropped_duplicates"] == 37
    assert metrics["rl_dropped_benchmark_items"]["aime24"] == 30
    assert (metrics["rl_train_rows"], metrics["rl_valid_rows"]) == (9_943, 99)
    assert len(metrics["benchmark_rows"]) == 13
    assert metrics["recorded_searches"] == 1_000
    report = run_suite("rl", tmp_path / "out" / "rl", context={"benchmarks": tmp_path / "out" / "benchmarks"})
    assert report.success, report.to_markdown()
    account = json.loads((tmp_path / "out" / "rl" / "report.json").read_text())
    assert len(account["dropped"]["benchmark_items"]) == 100


@pytest.mark.parametrize("name", ["hard_search_1k", "gaia_test", "hle_test"])
def test_every_other_published_file_can_be_read(shared: Path, tmp_path: Path, name: str) -> None:
    rows = [str(shared / "data" / "rl" / f"{name}.parquet")]
    settings = _files(shared, rl_train=rows, rl_valid=[], benchmarks=None, search_cache=None, max_rows=50)
    code, event = _run(tmp_path, settings)
    assert (code, event.metrics["rl_train_rows"]) == (EXIT_OK, 50)


def test_contaminated_rows_can_be_refused(shared: Path, tmp_path: Path) -> None:
    code, event = _run(tmp_path, _files(shared, max_rows=180) | {"decontaminate": "fail"})
    assert code == EXIT_BAD_INPUT
    assert "rows are benchmark items: valid-" in event.message
    assert "drop" in event.remedy
    assert not list((tmp_path / "out").iterdir())


def test_damaged_files_end_with_one_line(shared: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "train.parquet"
    damaged.write_bytes((shared / "data" / "rl" / "valid.parquet").read_bytes()[:1000])
    code, event = _run(tmp_path, _files(shared, rl_train=[str(damaged)]))
    assert code == EXIT_BAD_INPUT
    assert event.message.startswith(f"{damaged}: not a readable Parquet file")
    assert "\n" not in event.message


def test_the_demo_world_passes_its_checks(tmp_path: Path) -> None:
    source = {"kind": "demo", "sft_rows": 60, "rl_rows": 40, "valid_rows": 8, "benchmark_rows": 4}
    code, event = _run(tmp_path, {"source": source})
    assert code == EXIT_OK, event
    assert event.metrics["sft_rows"] == 60
    assert (event.metrics["rl_train_rows"], event.metrics["rl_valid_rows"]) == (40, 8)
    assert set(event.metrics["benchmark_rows"].values()) == {4}
    out = tmp_path / "out"
    for suite in ("sft", "rl"):
        report = run_suite(suite, out / suite, context={"benchmarks": out / "benchmarks"})
        assert report.success, report.to_markdown()
