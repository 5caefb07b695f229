import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appo_core.data.writers import write_json_gz, write_jsonl, write_rl
from appo_core.jobs.contract import Job, JobError, Reporter
from appo_core.jobs.data import work
from tests.appo_core.data.rows import rl_row, sft_row


def _source(folder: Path) -> dict[str, Any]:
    write_rl(folder / "train.parquet", [rl_row(0), rl_row(1)])
    write_rl(folder / "valid.parquet", [rl_row(2)])
    write_jsonl(folder / "sft.jsonl", [sft_row("a", question="And?")])
    write_jsonl(folder / "benchmarks" / "gsm8k.jsonl", [{"question": "x", "answer": "#### 1"}])
    write_jsonl(folder / "corpus.jsonl", [{"id": "1", "title": "t", "text": "é"}])
    write_json_gz(folder / "cache.json.gz", {"q": "Page 1: r"})
    return {
        "kind": "files",
        "sft": str(folder / "sft.jsonl"),
        "rl_train": [str(folder / "train.parquet")],
        "rl_valid": [str(folder / "valid.parquet")],
        "benchmarks": str(folder / "benchmarks"),
        "corpus": str(folder / "corpus.jsonl"),
        "search_cache": str(folder / "cache.json.gz"),
    }


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_layout_metrics_and_equal_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"source": _source(tmp_path / "in")}
    for name in ("one", "two"):
        work(Job(settings=settings, output=tmp_path / name, work=tmp_path / "work"), Reporter())
    digests = _digests(tmp_path / "one")
    assert digests == _digests(tmp_path / "two")
    assert sorted(digests) == [
        "benchmarks/gsm8k/test.jsonl",
        "corpus/corpus.jsonl",
        "corpus/search_cache.json.gz",
        "rl/report.json",
        "rl/train.parquet",
        "rl/valid.parquet",
        "sft/report.json",
        "sft/train.jsonl",
    ]
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert (metrics["rl_train_rows"], metrics["rl_valid_rows"], metrics["sft_rows"]) == (2, 1, 1)
    assert metrics["benchmark_rows"] == {"gsm8k": 1}


def test_nothing_is_written_when_the_input_is_bad(tmp_path: Path) -> None:
    source = _source(tmp_path / "in")
    (tmp_path / "in" / "sft.jsonl").write_text("{")
    with pytest.raises(JobError, match=r"sft.jsonl, line 1: not JSON"):
        work(Job(settings={"source": source}, output=tmp_path / "out", work=tmp_path / "work"), Reporter())
    assert not (tmp_path / "out").exists()
