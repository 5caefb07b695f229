"""Where rows come from: the demo world, or files the user already has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from appo_core.config import DemoSource, FileSource
from appo_core.data.benchmarks import read_benchmarks, validate_benchmark
from appo_core.data.conversations import cut_at_calls
from appo_core.data.readers import Row, read_json_object, read_jsonl, read_parquet
from appo_core.data.schema import RL_COLUMNS, CorpusRow, RlRow, SftRow, require_unique, rl_id, validated
from appo_core.jobs.contract import JobError


@dataclass(frozen=True)
class RawData:
    """Validated rows of one source, before repair and decontamination."""

    rl_train: Sequence[Row]
    rl_valid: Sequence[Row] = ()
    sft: Sequence[Row] = ()
    benchmarks: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    corpus: Sequence[Row] = ()
    search_cache: Mapping[str, str] = field(default_factory=dict)


def load(source: DemoSource | FileSource) -> RawData:
    """Rows of a source; raises `JobError` naming file, row and field when something is wrong."""
    return _load_demo(source) if isinstance(source, DemoSource) else _load_files(source)


def _load_demo(source: DemoSource) -> RawData:
    from appo_core.demo import build

    demo = build(source)
    for name, rows in demo.benchmarks.items():
        validate_benchmark(name, rows, f"demo benchmark {name}")
    return RawData(
        rl_train=_rl_rows(demo.rl_train, "train", "demo"),
        rl_valid=_rl_rows(demo.rl_valid, "valid", "demo"),
        sft=_sft_rows(demo.sft, "demo conversations"),
        benchmarks=demo.benchmarks,
        corpus=validated(demo.corpus, CorpusRow, "demo corpus"),
    )


def _load_files(source: FileSource) -> RawData:
    limit = source.max_rows
    return RawData(
        rl_train=_rl_files(source.rl_train, "train", limit),
        rl_valid=_rl_files(source.rl_valid, "valid", limit),
        sft=_sft_rows(read_jsonl(source.sft, limit=limit), source.sft) if source.sft else (),
        benchmarks=read_benchmarks(source.benchmarks) if source.benchmarks else {},
        corpus=_corpus(source.corpus) if source.corpus else (),
        search_cache=_search_cache(source.search_cache) if source.search_cache else {},
    )


def _rl_files(urls: Sequence[str], split: str, limit: int | None) -> list[Row]:
    """Rows of several files in order; the indices of a later file start behind those of the one before."""
    rows: list[Row] = []
    for url in urls:
        offset = 1 + max((row["extra_info"]["index"] for row in rows), default=-1)
        left = None if limit is None else limit - len(rows)
        rows += _rl_rows(read_parquet(url, columns=RL_COLUMNS, limit=left), split, url, offset=offset)
    return rows


def _rl_rows(rows: Sequence[Row], split: str, source: str, *, offset: int = 0) -> list[Row]:
    clean = [_placed(row, split, offset) for row in validated(rows, RlRow, source)]
    require_unique([rl_id(row) for row in clean], source)
    return clean


def _placed(row: Row, split: str, offset: int) -> Row:
    extra = row["extra_info"]
    reward = row["reward_model"]
    return {
        **row,
        "extra_info": {**extra, "index": extra["index"] + offset, "split": split},
        "reward_model": {**reward, "style": reward["style"] or "rule"},
    }


def _sft_rows(rows: Sequence[Row], source: str) -> list[Row]:
    named = [{"id": f"sft-{number}", **row} for number, row in enumerate(rows)]
    clean = [cut_at_calls(row) for row in validated(named, SftRow, source, first=1)]
    require_unique([row["id"] for row in clean], source)
    return clean


def _corpus(url: str) -> list[Row]:
    rows = validated(read_jsonl(url), CorpusRow, url, first=1)
    require_unique([row["id"] for row in rows], url)
    return rows


def _search_cache(url: str) -> dict[str, str]:
    cache = read_json_object(url)
    for query, result in cache.items():
        if not isinstance(result, str):
            raise JobError(
                f"{url}: the result of '{query[:60]}' is no text", remedy="write query -> result text in this file"
            )
    return cache
