"""The suites through Great Expectations itself; one process, so that its import is paid once."""

import json
from pathlib import Path

import pytest

from appo_core.checks import SUITES, CheckFailed, CheckReport, run_suite
from appo_core.checks.rules import unique
from appo_core.checks.runner import validate
from appo_core.data.writers import write_json, write_jsonl, write_rl
from appo_core.jobs.contract import JobError
from tests.appo_core.checks.test_rollouts import _row as trajectory
from tests.appo_core.checks.tiny_model import write_model
from tests.appo_core.data.rows import rl_row, sft_row

pytestmark = pytest.mark.slow


def _failed(report: CheckReport) -> dict[str, tuple[str, ...]]:
    return {result.name: result.failing_rows for result in report.failures}


def test_sft(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [sft_row("a"), sft_row("b")])
    assert run_suite("sft", tmp_path).success
    broken = sft_row("b")
    broken["conversations"][-1]["value"] = " "
    write_jsonl(tmp_path / "train.jsonl", [sft_row("a"), sft_row("a"), broken, {"id": "c"}])
    assert _failed(run_suite("sft", tmp_path, context={"max_characters": 10})) == {
        "fields and types": ("c",),
        "unique ids": ("a",),
        "no empty turn": ("b",),
        "length": ("a", "b"),
    }


def test_rl(tmp_path: Path) -> None:
    write_rl(tmp_path / "train.parquet", [rl_row(0), rl_row(1)])
    write_rl(tmp_path / "valid.parquet", [])
    report = run_suite("rl", tmp_path)
    assert report.success
    assert report.rows == 2
    write_rl(tmp_path / "valid.parquet", [rl_row(0, gold=" ", split="valid")])
    report = run_suite("rl", tmp_path)
    assert _failed(report) == {"gold answer not blank": ("valid-0",), "no question twice": ("valid-0",)}
    with pytest.raises(CheckFailed, match=r"check rl: gold answer not blank: 1 of 3 rows, e.g. blank \(rows valid-0\)"):
        report.raise_for_failures()


def test_rollouts(tmp_path: Path) -> None:
    file = tmp_path / "step_000001.jsonl"
    file.write_text(json.dumps(trajectory()) + "\n")
    assert run_suite("rollouts", tmp_path).success
    file.write_text(json.dumps(trajectory()) + "\n" + json.dumps(trajectory(reward=float("nan"))) + "\n")
    assert _failed(run_suite("rollouts", tmp_path)) == {
        "unique ids": ("step_000001 a",),
        "finite rewards": ("step_000001 a",),
    }


def test_model(tmp_path: Path) -> None:
    write_model(tmp_path / "base")
    write_model(tmp_path / "tuned", dtype="BF16")
    context = {"reference": tmp_path / "base", "dtype": "bf16"}
    assert run_suite("model", tmp_path / "tuned", context=context).success
    write_model(tmp_path / "tuned", scale=float("inf"), tied=False)
    assert _failed(run_suite("model", tmp_path / "tuned", context=context)) == {
        "names and shapes": ("lm_head.weight",),
        "dtype": ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"),
        "finite weights": ("lm_head.weight", "model.embed_tokens.weight", "model.norm.weight"),
    }


def test_predictions_and_scores(tmp_path: Path) -> None:
    sample = {"id": "1", "sample": 0, "correct": False}
    write_jsonl(tmp_path / "samples" / "gaia.jsonl", [sample])
    assert run_suite("predictions", tmp_path, context={"samples": 1}).success
    assert set(_failed(run_suite("predictions", tmp_path, context={"samples": 2}))) == {
        "every question exactly k times"
    }
    totals = {"pass_at": {"1": {"value": 0.5, "low": 0.2, "high": 1.5}}}
    write_json(tmp_path / "report.json", {"benchmarks": [{"name": "gaia", **totals}], "overall": totals})
    assert _failed(run_suite("scores", tmp_path)) == {"upper bounds in [0, 1]": ("gaia pass@1", "overall pass@1")}


def test_a_rule_that_cannot_be_evaluated_fails(tmp_path: Path) -> None:
    table = SUITES["sft"].table
    write_jsonl(tmp_path / "train.jsonl", [sft_row()])
    (result,) = validate("sft", table(tmp_path, {}), [unique("none", "no_such_column", "add it")])
    assert not result.success
    assert "could not be evaluated" in result.observed


def test_unknown_suite_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="check suite 'nope' is unknown"):
        run_suite("nope", tmp_path)
    with pytest.raises(JobError, match="does not exist"):
        run_suite("sft", tmp_path / "none")
