"""Readers for local and remote files (fsspec URLs, gzip by name); every fault is one line with a remedy."""

import io
import json
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from appo_core.data.faults import one_line_faults
from appo_core.jobs.contract import JobError

Row = dict[str, Any]


def read_bytes(url: str) -> bytes:
    """A file's decompressed bytes; raises `JobError` when it is missing, unreadable or corrupt."""
    with one_line_faults(url), fsspec.open(url, "rb", compression="infer") as file:
        return bytes(file.read())


def read_jsonl(url: str, *, limit: int | None = None) -> list[Row]:
    """Objects of a JSON-lines file, at most `limit`; blank lines are skipped."""
    rows: list[Row] = []
    for number, line in enumerate(_text(url).split("\n"), start=1):
        if limit is not None and len(rows) >= limit:
            break
        if line.strip():
            rows.append(_object(line, f"{url}, line {number}"))
    if not rows:
        raise JobError(f"{url}: holds no rows", remedy="give a file with at least one row")
    return rows


def read_json_object(url: str) -> Row:
    """The one JSON object of a file."""
    return _object(_text(url), url)


def read_parquet(
    url: str, *, columns: tuple[str, ...], limit: int | None = None, may_be_empty: bool = False
) -> list[Row]:
    """Rows of a Parquet file that must have `columns`, at most `limit`."""
    body = read_bytes(url)
    try:
        table = pq.read_table(io.BytesIO(body))
    except (pa.ArrowException, OSError) as error:  # a damaged footer or page is an OSError to Arrow
        reason = str(error).splitlines()[0]
        raise JobError(f"{url}: not a readable Parquet file ({reason})", remedy="fetch or write it again") from error
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise JobError(
            f"{url}: column '{missing[0]}' is missing; it has {', '.join(table.column_names)}",
            remedy=f"write the columns {', '.join(columns)}",
        )
    if table.num_rows == 0 and not may_be_empty:
        raise JobError(f"{url}: holds no rows", remedy="give a file with at least one row")
    return table.slice(0, limit).to_pylist()


def _text(url: str) -> str:
    try:
        return read_bytes(url).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JobError(f"{url}: not UTF-8 at byte {error.start}", remedy="convert it to UTF-8") from error


def _object(text: str, where: str) -> Row:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise JobError(f"{where}: not JSON ({error.msg} at column {error.colno})", remedy="correct it") from error
    if not isinstance(value, dict):
        raise JobError(f"{where}: a JSON object is expected, found {type(value).__name__}", remedy="correct it")
    return value
