import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appo_core.data.readers import read_json_object, read_jsonl, read_parquet
from appo_core.jobs.contract import JobError


def _fault(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(JobError) as caught:
        read_jsonl(str(path))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def test_jsonl_plain_and_gzipped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "\u2028"}\n\n{"q": 2}\n')
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    rows = read_jsonl(str(tmp_path / "a.jsonl"))
    assert rows == [{"q": "\u2028"}, {"q": 2}]
    assert read_jsonl(f"file://{tmp_path}/a.jsonl.gz") == rows
    assert read_jsonl(str(tmp_path / "a.jsonl"), limit=1) == rows[:1]


def test_bad_jsonl_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    assert _fault(file, b'{"a": 1}\n{"a":\n').startswith(", line 2: not JSON")
    assert _fault(file, b"[1]\n") == ", line 1: a JSON object is expected, found list"
    assert _fault(file, b"\n\n") == ": holds no rows"
    assert _fault(file, b"\xff") == ": not UTF-8 at byte 0"


def test_damaged_gzip(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b'{"a": 1}\n' * 50)
    assert "corrupt gzip" in _fault(file, whole[:-9])
    assert "corrupt gzip" in _fault(file, b"plain")


def test_missing_file_folder_and_unknown_protocol(tmp_path: Path) -> None:
    for url, reason in ((str(tmp_path / "none"), "no such file"), (str(tmp_path), "a folder"), ("zz://a", "zz")):
        with pytest.raises(JobError, match=reason):
            read_json_object(url)


def test_parquet_faults(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": ["a"]}), file)
    assert read_parquet(str(file), columns=("prompt",)) == [{"prompt": "a"}]
    with pytest.raises(JobError, match=r"column 'reward_model' is missing; it has prompt"):
        read_parquet(str(file), columns=("prompt", "reward_model"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(JobError, match="not a readable Parquet file"):
        read_parquet(str(file), columns=("prompt",))
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), file)
    with pytest.raises(JobError, match="holds no rows"):
        read_parquet(str(file), columns=("prompt",))
    assert read_parquet(str(file), columns=("prompt",), may_be_empty=True) == []
