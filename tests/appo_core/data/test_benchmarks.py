import gzip
import json
from pathlib import Path

import pytest

from appo_core.data.benchmarks import questions, read_benchmarks, validate_benchmark
from appo_core.jobs.contract import JobError


def _write(path: Path, row: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(row) + "\n").encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def test_both_layouts_and_upper_case_names(tmp_path: Path) -> None:
    _write(tmp_path / "SimpleQA.jsonl.gz", {"question": "a", "answer": ["b"]})
    _write(tmp_path / "gaia" / "test.jsonl", {"Question": "c", "answer": "d"})
    _write(tmp_path / "aime25.jsonl", {"problem": "e", "answer": 3})
    _write(tmp_path / "notes.jsonl", {"x": 1})
    found = read_benchmarks(str(tmp_path))
    assert questions(found) == {"aime25": ["e"], "gaia": ["c"], "simpleqa": ["a"]}
    assert read_benchmarks(f"file://{tmp_path}") == found


def test_a_row_without_its_field_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "gaia.jsonl", {"question": "c", "answer": "d"})
    with pytest.raises(JobError, match=r"gaia.jsonl, row 1: field 'Question' is missing; the row has question"):
        read_benchmarks(str(tmp_path))
    _write(tmp_path / "gaia.jsonl", {"Question": "c", "answer": ""})
    with pytest.raises(JobError, match="field 'answer' is empty"):
        read_benchmarks(str(tmp_path))


def test_an_unknown_benchmark_is_refused() -> None:
    with pytest.raises(JobError, match="benchmark 'nope' is unknown"):
        validate_benchmark("nope", [], "demo")


def test_a_folder_without_benchmarks(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no benchmark file found"):
        read_benchmarks(str(tmp_path))
