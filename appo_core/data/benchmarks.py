"""Benchmark files as the data stage sees them: rows kept in their published format, read from any fsspec URL."""

from collections.abc import Mapping, Sequence

import fsspec

from appo_core.data.faults import one_line_faults
from appo_core.data.readers import Row, read_jsonl
from appo_core.evaluation.benchmarks import REGISTRY, parse_questions
from appo_core.jobs.contract import JobError


def validate_benchmark(name: str, rows: Sequence[Row], source: str) -> None:
    """Raise `JobError` when a row lacks its question or answer, or the benchmark is unknown."""
    if name not in REGISTRY:
        raise JobError(f"{source}: benchmark '{name}' is unknown", remedy=f"choose from {', '.join(REGISTRY)}")
    parse_questions(REGISTRY[name], rows, source)


def questions(benchmarks: Mapping[str, Sequence[Row]]) -> dict[str, list[str]]:
    """The text of each benchmark's questions, from validated rows."""
    return {
        name: [question.text for question in parse_questions(REGISTRY[name], rows, f"benchmark {name}")]
        for name, rows in benchmarks.items()
    }


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
    with one_line_faults(root):
        filesystem, path = fsspec.core.url_to_fs(root)
        listing = {found[len(path) :].strip("/").lower(): found for found in filesystem.find(path, maxdepth=2)}
    located = {}
    for name in REGISTRY:
        stems = (f"{name}.jsonl", f"{name}/test.jsonl")
        matches = [listing[file] for stem in stems for file in (stem, f"{stem}.gz") if file in listing]
        if matches:
            located[name] = filesystem.unstrip_protocol(matches[0])
    return located
