"""From benchmark files to questions; every fault names file, row, field and remedy."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from appo_core.data.readers import read_jsonl
from appo_core.evaluation.benchmarks.base import Benchmark, Question, Row, RowFault
from appo_core.evaluation.benchmarks.registry import REGISTRY
from appo_core.jobs.contract import JobError


def load_benchmarks(root: Path, names: Iterable[str]) -> dict[str, list[Question]]:
    """All questions of the benchmarks `names` under `root`; raises `JobError`."""
    return {name: load_questions(root, name) for name in names}


def load_questions(root: Path, name: str) -> list[Question]:
    """All questions of one benchmark under `root`, in file order; raises `JobError`."""
    path = find_file(root, name)
    return parse_questions(REGISTRY[name], read_jsonl(str(path)), str(path))


def parse_questions(benchmark: Benchmark, rows: Sequence[Row], source: str) -> list[Question]:
    """Questions of `rows`; raises `JobError` at a row that is none, or at the first id that comes twice."""
    questions: dict[str, Question] = {}
    for position, row in enumerate(rows):
        try:
            question = benchmark.question(row, position)
        except RowFault as fault:
            raise JobError(f"{source}, row {position + 1}: {fault}", remedy=fault.remedy) from fault
        if question.id in questions:
            raise JobError(
                f"{source}, row {position + 1}: id '{question.id}' comes twice", remedy="remove one of the two rows"
            )
        questions[question.id] = question
    return list(questions.values())


def find_file(root: Path, name: str) -> Path:
    """The file of a benchmark: `<name>/test.jsonl` or `<name>.jsonl`, gzipped or not, in any letter case."""
    listing = {str(path.relative_to(root)).lower(): path for path in sorted(root.glob("*"))}
    listing |= {str(path.relative_to(root)).lower(): path for path in sorted(root.glob("*/test.jsonl*"))}
    for stem in (f"{name}/test.jsonl", f"{name}.jsonl"):
        for candidate in (stem, f"{stem}.gz"):
            if candidate in listing and listing[candidate].is_file():
                return listing[candidate]
    raise JobError(
        f"benchmark {name}: no file under {root}",
        remedy=f"put it at {root / name / 'test.jsonl'} (or {name}.jsonl[.gz]), or take '{name}' out of "
        "evaluate.benchmarks",
    )
