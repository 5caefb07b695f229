"""The demo world: same seed, same bytes; right answers; nothing of the held-out questions among the training rows."""

import contextlib
import io
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from appo_core.config.data import DemoSource
from appo_core.config.rollout import SearchToolSettings
from appo_core.data.conversations import conversation_error
from appo_core.demo import DemoData, build
from appo_core.demo.benchmarks import MINIATURES
from appo_core.demo.world import World, build_world
from appo_core.tools.corpus_search import CorpusSearch
from tests.appo_core.demo.answers import answer_of, asked

SMALL = DemoSource(sft_rows=240, rl_rows=120, valid_rows=24, benchmark_rows=8)


@pytest.fixture(scope="module")
def demo() -> DemoData:
    return build(SMALL)


@pytest.fixture(scope="module")
def full() -> DemoData:
    """The demo with the settings that ship."""
    return build(DemoSource())


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(SMALL.seed)


def as_bytes(demo: DemoData) -> bytes:
    return json.dumps(vars(demo), sort_keys=True).encode()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(demo: DemoData) -> None:
    assert as_bytes(build(SMALL)) == as_bytes(demo)
    other = build(SMALL.model_copy(update={"seed": 8}))
    assert other.rl_train != demo.rl_train
    assert other.corpus != demo.corpus


def test_every_row_asked_for_is_there_in_the_shipped_settings(full: DemoData) -> None:
    source = DemoSource()
    assert len(full.sft) == source.sft_rows
    assert len(full.rl_train) == source.rl_rows
    assert len(full.rl_valid) == source.valid_rows
    assert {name: len(rows) for name, rows in full.benchmarks.items()} == dict.fromkeys(
        MINIATURES, source.benchmark_rows
    )


def test_no_held_out_question_is_among_the_training_rows(full: DemoData) -> None:
    train = {row["conversations"][0]["value"] for row in full.sft}
    train |= {row["extra_info"]["question"] for row in full.rl_train}
    valid = {row["extra_info"]["question"] for row in full.rl_valid}
    held_out = [asked(row) for rows in full.benchmarks.values() for row in rows]
    assert len(set(held_out)) == len(held_out)
    assert not train & set(held_out)
    assert not train & valid
    assert not valid & set(held_out)


@pytest.mark.parametrize("seed", range(6))
def test_validation_shares_no_question_with_training_whatever_the_seed(seed: int) -> None:
    demo = build(DemoSource(seed=seed, sft_rows=6000, rl_rows=3000, valid_rows=300, benchmark_rows=1))
    train = {row["conversations"][0]["value"] for row in demo.sft}
    train |= {row["extra_info"]["question"] for row in demo.rl_train}
    assert not train & {row["extra_info"]["question"] for row in demo.rl_valid}


def test_no_held_out_fact_is_asked_about_in_training(full: DemoData, world: World) -> None:
    def facts(questions: list[str]) -> set[str]:
        return {fact.query for fact in world.facts if any(fact.query in question for question in questions)}

    train = [row["extra_info"]["question"] for row in full.rl_train]
    train += [row["conversations"][0]["value"] for row in full.sft]
    held_out = [asked(row) for rows in full.benchmarks.values() for row in rows]
    held_out += [row["extra_info"]["question"] for row in full.rl_valid]
    assert not facts(train) & facts(held_out)


def test_answers_of_prompts_are_right_and_all_kinds_occur(full: DemoData, world: World) -> None:
    for row in full.rl_train + full.rl_valid:
        question = row["extra_info"]["question"]
        assert row["reward_model"]["ground_truth"] == answer_of(question, world), question
        assert row["prompt"][1]["content"] == question
    kinds = Counter(row["data_source"] for row in full.rl_train)
    assert kinds.keys() == {"demo_arithmetic", "demo_lookup", "demo_both"}


def test_programs_print_what_the_conversation_says(full: DemoData) -> None:
    """Every recorded Python call, run for real, prints the recorded result."""
    ran = 0
    for row in full.sft:
        turns = row["conversations"]
        for call, observation in itertools.pairwise(turns):
            if call["from"] != "function_call" or "<python>" not in call["value"]:
                continue
            program = call["value"].partition("<python>")[2].partition("</python>")[0].strip()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(program, {})  # noqa: S102 - the project's own arithmetic
            assert observation["value"] == f" <result>\n{printed.getvalue().strip()}\n</result>"
            ran += 1
    assert ran > len(full.sft) / 4


def test_one_search_result_holds_the_fact(full: DemoData, world: World, tmp_path: Path) -> None:
    """For every fact, and for every recorded search, the first result is the fact itself."""
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in full.corpus))
    search = CorpusSearch(tmp_path, SearchToolSettings(max_results=1)).search
    for fact in world.facts:
        assert search(fact.query) == f"Page 1: {fact.text}"
    for row in full.sft:
        turns = row["conversations"]
        for call, observation in itertools.pairwise(turns):
            if "<search>" in call["value"] and call["from"] == "function_call":
                query = call["value"].partition("<search>")[2].partition("</search>")[0].strip()
                assert observation["value"] == f" <result>\n{search(query)}\n</result>"


def test_every_conversation_is_well_formed(full: DemoData) -> None:
    for row in full.sft:
        assert conversation_error(row) is None
        roles = [turn["from"] for turn in row["conversations"]]
        assert roles[0] == "human"
        assert roles[-1] == "gpt"
        assert roles[1:-1] == ["function_call", "observation"] * ((len(roles) - 2) // 2)
        response = "".join(turn["value"] for turn in row["conversations"][1:])
        assert response.startswith("<think> Plan: ")
        assert response.count("<answer> \\boxed{") == response.count("</answer>") == 1
        assert response.endswith("} </answer>")


def test_right_plans_are_as_frequent_as_the_setting_says(full: DemoData, world: World) -> None:
    """A flawed plan is right by luck at most."""

    def right(row: dict[str, Any]) -> bool:
        final = row["conversations"][-1]["value"].partition("\\boxed{")[2].partition("}")[0]
        return final == answer_of(row["conversations"][0]["value"], world)

    share = sum(map(right, full.sft)) / len(full.sft)
    assert share == pytest.approx(DemoSource().good_plan_share, abs=0.04)
    only_good = build(SMALL.model_copy(update={"good_plan_share": 1.0}))
    assert all(map(right, only_good.sft))
    only_flawed = build(SMALL.model_copy(update={"good_plan_share": 0.0}))
    assert sum(map(right, only_flawed.sft)) / len(only_flawed.sft) < 0.05
