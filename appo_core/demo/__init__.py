"""The demo world: everything the chain needs to run on a laptop, made deterministically from a seed."""

import json
import random
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from appo_core.config.data import DemoSource
from appo_core.config.rollout import SearchToolSettings
from appo_core.demo.benchmarks import MINIATURES
from appo_core.demo.plans import Search
from appo_core.demo.questions import Kind, distinct_questions
from appo_core.demo.rows import rl_row, sft_row
from appo_core.demo.world import World, build_world

HELD_OUT_SHARE = 0.35
"""Share of the facts that only validation and benchmarks ask about; the corpus holds them all."""


@dataclass(frozen=True)
class DemoData:
    """Rows of every demo data set."""

    sft: list[dict[str, Any]]
    rl_train: list[dict[str, Any]]
    rl_valid: list[dict[str, Any]]
    benchmarks: dict[str, list[dict[str, Any]]]
    corpus: list[dict[str, str]]


def build(source: DemoSource) -> DemoData:
    """The demo data of one seed; the same settings give the same rows, byte for byte."""
    world = build_world(source.seed)
    rng = random.Random(f"demo-{source.seed}")
    train_world, held_out_world = _split(world, rng)
    train = distinct_questions(train_world, rng, tuple(Kind))
    search = _search(world, source.search_results)
    sft = [
        sft_row(index, question, good=rng.random() < source.good_plan_share, search=search, rng=rng)
        for index, question in enumerate(islice(train, source.sft_rows))
    ]
    # Of its own: what the cold start asks may come again, so that no kind of question runs out.
    practice = distinct_questions(train_world, random.Random(f"rl-{source.seed}"), tuple(Kind))
    rl_train = [rl_row(index, question, "train") for index, question in enumerate(islice(practice, source.rl_rows))]
    taken = {row["extra_info"]["question"] for row in rl_train} | {row["conversations"][0]["value"] for row in sft}
    held_out = distinct_questions(held_out_world, random.Random(f"valid-{source.seed}"), tuple(Kind))
    # Facts are held out by the split; plain arithmetic may come up twice.
    valid = islice((question for question in held_out if question.text not in taken), source.valid_rows)
    rl_valid = [rl_row(index, question, "valid") for index, question in enumerate(valid)]
    taken |= {row["extra_info"]["question"] for row in rl_valid}
    return DemoData(sft, rl_train, rl_valid, _benchmarks(held_out_world, source, taken), world.corpus)


def _split(world: World, rng: random.Random) -> tuple[World, World]:
    facts = list(world.facts)
    rng.shuffle(facts)
    cut = int(len(facts) * HELD_OUT_SHARE)
    return World(tuple(facts[cut:])), World(tuple(facts[:cut]))


def _search(world: World, results: int) -> Search:
    """The search tool that rollouts use, so that the cold start sees the very results they will."""
    from appo_core.tools.corpus_search import CorpusSearch

    with tempfile.TemporaryDirectory() as folder:
        lines = (json.dumps(row) + "\n" for row in world.corpus)
        (Path(folder) / "corpus.jsonl").write_text("".join(lines))
        return CorpusSearch(Path(folder), SearchToolSettings(max_results=results)).search


def _benchmarks(world: World, source: DemoSource, taken: set[str]) -> dict[str, list[dict[str, Any]]]:
    miniatures = {}
    for name, (kind, to_row) in MINIATURES.items():
        questions = distinct_questions(world, random.Random(f"{name}-{source.seed}"), (kind,))
        fresh = (question for question in questions if question.text not in taken)
        chosen = list(islice(fresh, source.benchmark_rows))
        taken.update(question.text for question in chosen)
        miniatures[name] = [to_row(index, question) for index, question in enumerate(chosen)]
    return miniatures


__all__ = ["DemoData", "build"]
