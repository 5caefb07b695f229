import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from appo_core.data.benchmarks import read_benchmarks
from appo_core.data.readers import read_json_object, read_jsonl, read_parquet
from appo_core.jobs.contract import EXIT_BAD_INPUT, EXIT_TRANSIENT, JobError
from tests.s3_server import S3Server


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
    whole = file.read_bytes()
    flipped = bytes(byte ^ 0x5A for byte in whole[4:-8])
    for damaged in (b"", whole[:-20], whole[:4] + flipped + whole[-8:]):
        file.write_bytes(damaged)
        with pytest.raises(JobError, match="not a readable Parquet file"):
            read_parquet(str(file), columns=("prompt",))
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), file)
    with pytest.raises(JobError, match="holds no rows"):
        read_parquet(str(file), columns=("prompt",))
    assert read_parquet(str(file), columns=("prompt",), may_be_empty=True) == []


@pytest.fixture
def fresh_s3() -> Iterator[None]:
    """No file system that was made for other credentials, before and after."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def _point_to(monkeypatch: pytest.MonkeyPatch, server: S3Server, **changes: str) -> None:
    for name, value in (server.environment | changes).items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_s3")
def test_files_on_s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    _point_to(monkeypatch, s3_server)
    filesystem = s3fs.S3FileSystem(skip_instance_cache=True, **s3_server.options)
    filesystem.pipe_file(f"{s3_server.url}/in/gaia.jsonl.gz", gzip.compress(b'{"Question": "a", "answer": "b"}\n'))
    assert read_jsonl(f"{s3_server.url}/in/gaia.jsonl.gz") == [{"Question": "a", "answer": "b"}]
    assert list(read_benchmarks(f"{s3_server.url}/in")) == ["gaia"]
    with pytest.raises(JobError, match="no such file"):
        read_jsonl(f"{s3_server.url}/none.jsonl")


@pytest.mark.usefixtures("fresh_s3")
def test_an_unreachable_store_may_pass_and_missing_credentials_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = S3Server("http://127.0.0.1:9", "bucket")
    _point_to(monkeypatch, nowhere, AWS_MAX_ATTEMPTS="1")
    with pytest.raises(JobError, match="not reachable") as caught:
        read_jsonl("s3://bucket/a.jsonl")
    assert caught.value.exit_code == EXIT_TRANSIENT
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(JobError, match="no credentials") as caught:
        read_benchmarks("s3://bucket/benchmarks")
    assert caught.value.exit_code == EXIT_BAD_INPUT
