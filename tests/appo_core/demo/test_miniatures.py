"""Miniature benchmarks are in the benchmarks' own row formats: the registry reads them, with the right answers."""

import gzip
import json
from pathlib import Path

import pytest

from appo_core.config.data import DemoSource
from appo_core.demo import DemoData, build
from appo_core.demo.benchmarks import MINIATURES
from appo_core.demo.world import build_world
from appo_core.evaluation.benchmarks import REGISTRY, parse_questions
from tests.appo_core.demo.answers import answer_of, asked

SMALL = DemoSource(sft_rows=30, rl_rows=15, valid_rows=6, benchmark_rows=12)


@pytest.fixture(scope="module")
def demo() -> DemoData:
    return build(SMALL)


def test_every_benchmark_has_a_miniature() -> None:
    assert MINIATURES.keys() == REGISTRY.keys()


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_registry_reads_the_rows_with_the_right_golds(demo: DemoData, name: str) -> None:
    rows = demo.benchmarks[name]
    assert len(rows) == SMALL.benchmark_rows
    questions = parse_questions(REGISTRY[name], rows, name)
    world = build_world(SMALL.seed)
    for row, question in zip(rows, questions, strict=True):
        assert question.text == asked(row)
        right = answer_of(question.text, world)
        assert question.golds == ((right.lower() if name == "bamboogle" else right),)


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_fields_are_those_of_the_published_rows(demo: DemoData, shared: Path, name: str) -> None:
    published = {path.name.split(".")[0].lower(): path for path in (shared / "data" / "benchmarks").iterdir()}
    if name not in published:
        pytest.skip(f"{name} was not published with the reference data")
    with gzip.open(published[name], "rt", encoding="utf-8") as lines:
        real = json.loads(next(lines))
    for row in demo.benchmarks[name]:
        assert row.keys() <= real.keys()
        assert all(type(row[field]) is type(real[field]) for field in ("answer", "question") if field in row)
