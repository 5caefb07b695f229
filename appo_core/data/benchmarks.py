"""Benchmark files as the data stage sees them: where they lie, and which fields a row must have."""

from collections.abc import Mapping, Sequence

import fsspec

from appo_core.config import BENCHMARKS, EXTRA_BENCHMARKS
from appo_core.data.readers import Row, read_jsonl
from appo_core.jobs.contract import JobError

_QUESTION_FIELDS = {"aime25": "problem", "math": "problem", "gaia": "Question"}
"""Field of the question where it is not `question`."""
_ANSWER_FIELD = "answer"


def question_field(benchmark: str) -> str:
    """Name of the field that holds a benchmark's question."""
    return _QUESTION_FIELDS.get(benchmark, "question")


def validate_benchmark(name: str, rows: Sequence[Row], source: str) -> None:
    """Raise `JobError` when a row lacks its question or answer."""
    for number, row in enumerate(rows, start=1):
        for field in (question_field(name), _ANSWER_FIELD):
            if row.get(field) in (None, "", []):
                raise JobError(
                    f"{source}, line {number}: field '{field}' is missing or empty; it has {', '.join(row) or 'none'}",
                    remedy=f"write '{question_field(name)}' and '{_ANSWER_FIELD}' in every row of {name}",
                )
        if not isinstance(row[question_field(name)], str):
            raise JobError(f"{source}, line {number}: '{question_field(name)}' is no text", remedy="correct this row")


def questions(benchmarks: Mapping[str, Sequence[Row]]) -> dict[str, list[str]]:
    """Each benchmark's questions, from validated rows."""
    return {name: [row[question_field(name)] for row in rows] for name, rows in benchmarks.items()}


def read_benchmarks(root: str) -> dict[str, list[Row]]:
    """Every known benchmark under a folder (fsspec URL), validated; raises `JobError` when there is none."""
    benchmarks = {}
    for name, url in _locate(root).items():
        rows = read_jsonl(url)
        validate_benchmark(name, rows, url)
        benchmarks[name] = rows
    if not benchmarks:
        remedy = "give a folder with <benchmark>.jsonl[.gz] or <benchmark>/test.jsonl files"
        raise JobError(f"{root}: no benchmark file found", remedy=remedy)
    return benchmarks


def _locate(root: str) -> dict[str, str]:
    """Benchmark -> file. Names are compared without case; `test.jsonl` in the benchmark's own folder also counts."""
    filesystem, path = fsspec.core.url_to_fs(root)
    listing = {found[len(path) :].strip("/").lower(): found for found in filesystem.find(path, maxdepth=2)}
    located = {}
    for name in (*BENCHMARKS, *EXTRA_BENCHMARKS):
        stems = (f"{name}.jsonl", f"{name}/test.jsonl")
        matches = [listing[file] for stem in stems for file in (stem, f"{stem}.gz") if file in listing]
        if matches:
            located[name] = filesystem.unstrip_protocol(matches[0])
    return located
