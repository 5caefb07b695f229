import json
from pathlib import Path

import pytest

from appo_core.config import FileSource
from appo_core.data.schema import rl_id
from appo_core.data.sources import load
from appo_core.data.writers import write_jsonl, write_rl
from appo_core.jobs.contract import JobError
from tests.appo_core.data.rows import rl_row, sft_row


def test_several_files_of_a_split_get_consecutive_ids(tmp_path: Path) -> None:
    urls = []
    for name in "ab":
        write_rl(
            tmp_path / f"{name}.parquet", [rl_row(0, question=name, split="test"), rl_row(7, question=name + name)]
        )
        urls.append(str(tmp_path / f"{name}.parquet"))
    raw = load(FileSource(rl_train=tuple(urls), rl_valid=(urls[0],)))
    assert [rl_id(row) for row in raw.rl_train] == ["train-0", "train-7", "train-8", "train-15"]
    assert [rl_id(row) for row in raw.rl_valid] == ["valid-0", "valid-7"]
    assert len(load(FileSource(rl_train=tuple(urls), max_rows=3)).rl_train) == 3


def test_duplicate_ids_of_one_file(tmp_path: Path) -> None:
    write_rl(tmp_path / "a.parquet", [rl_row(0), rl_row(0)])
    with pytest.raises(JobError, match=r"a.parquet: duplicate ids train-0"):
        load(FileSource(rl_train=(str(tmp_path / "a.parquet"),)))


def test_conversations_without_ids_are_numbered(tmp_path: Path) -> None:
    write_rl(tmp_path / "a.parquet", [rl_row()])
    rows = [sft_row(), sft_row()]
    for row in rows:
        del row["id"]
    write_jsonl(tmp_path / "sft.jsonl", rows)
    raw = load(FileSource(rl_train=(str(tmp_path / "a.parquet"),), sft=str(tmp_path / "sft.jsonl")))
    assert [row["id"] for row in raw.sft] == ["sft-0", "sft-1"]


def test_a_search_cache_holds_texts(tmp_path: Path) -> None:
    write_rl(tmp_path / "a.parquet", [rl_row()])
    cache = tmp_path / "cache.json"
    cache.write_text(json.dumps({"query": ["Page 1"]}))
    with pytest.raises(JobError, match="the result of 'query' is no text"):
        load(FileSource(rl_train=(str(tmp_path / "a.parquet"),), search_cache=str(cache)))
