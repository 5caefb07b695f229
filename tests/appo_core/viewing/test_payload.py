"""What the page is given of a prompt."""

import json
import math
from typing import Any

import pytest

from appo_core.viewing.payload import domains, prompt_payload, question, rounded, runs, token_values
from appo_core.viewing.tree import build_tree
from tests.appo_core.viewing.dumps import branch, encode, parsed, pieces, row

CALL = {"tool": "search", "end": 2, "failure": "timeout", "seconds": 0.25}
ORIGIN = row(
    "a",
    "one two three four five",
    mask=[1, 1, 0, 0, *[1] * (len(encode("one two three four five")) - 4)],
    tool_calls=[CALL],
    branching_scores=[0.5] * len(encode("one two three four five")),
    advantages=[-1.0] * len(encode("one two three four five")),
)


def nodes(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return prompt_payload(build_tree(parsed(*rows)), pieces())["nodes"]


def test_a_branch_holds_its_own_tokens_only_and_joins_to_the_whole_with_its_origin() -> None:
    leaf = branch("a/5", ORIGIN, 5, " öde", mask=[*ORIGIN["mask"][:6], *[1] * len(encode(" öde"))], tool_calls=[CALL])
    first, second = nodes(ORIGIN, leaf)
    assert (first["start"], second["start"], second["parent"]) == (0, 6, 0)
    whole = "".join(first["texts"][:6] + second["texts"])
    assert whole == pieces().text(leaf["response_ids"])
    assert second["ids"] == leaf["response_ids"][6:]
    assert second["calls"] == second["injected"] == []
    assert {len(one) for one in (second["texts"], second["ids"], second["values"]["nll"])} == {len(encode(" öde"))}


def test_calls_and_injected_tokens_are_told() -> None:
    (first,) = nodes(ORIGIN)
    assert first["injected"] == [(2, 4)]
    assert first["calls"] == [{"tool": "search", "end": 2, "problem": "failed: timeout", "seconds": 0.25}]
    assert first["failed"] is True


def test_a_branch_right_behind_a_call_keeps_the_call_whose_result_it_repeats() -> None:
    rest = encode(" x")
    ids = ORIGIN["response_ids"][:2]
    leaf = branch(
        "a/1",
        ORIGIN,
        1,
        response_ids=[*ids, *encode("r"), *rest],
        mask=[1, 1, *[0] * len(encode("r")), *[1] * len(rest)],
        behaviour_logprobs=[0.0] * (2 + len(encode("r")) + len(rest)),
        tool_calls=[CALL],
    )
    second = nodes(ORIGIN, leaf)[1]
    assert second["injected"] == [(2, 2 + len(encode("r")))]
    assert [call["end"] for call in second["calls"]] == [2]


def test_figures_are_there_as_far_as_dumped_and_never_at_injected_tokens() -> None:
    (origin,) = parsed(ORIGIN)
    values = token_values(origin)
    assert set(values) == {"bs", "adv", "nll"}
    assert values["bs"][:5] == [0.5, 0.5, None, None, 0.5]
    assert values["nll"][0] == 0.5


@pytest.mark.parametrize(("value", "short"), [(1.23456, 1.235), (-2e-7, 0), (12345.6, 12350), (math.nan, None)])
def test_rounding(value: float, short: float | None) -> None:
    assert rounded(value) == short
    assert rounded(-math.inf) is None


def test_runs_of_equal_values() -> None:
    assert runs([1.0, 1.0, None, 2.0]) == [(1.0, 2), (None, 1), (2.0, 1)]


def test_a_value_that_is_no_number_does_not_reach_the_json() -> None:
    broken = row("a", "one two", behaviour_logprobs=[math.nan] * len(encode("one two")), reward=math.inf)
    json.dumps(nodes(broken), allow_nan=False)


def test_colours_reach_to_the_far_values_but_not_to_an_outlier() -> None:
    many: dict[str, Any] = {"ent": [0.01 * number for number in range(1, 101)] + [500.0], "fut": [1.0, 0.8, None, 1.1]}
    found = domains([many])
    assert found["ent"] == pytest.approx(1.0)
    assert found["fut"] == pytest.approx(0.1)
    assert domains([{"adv": [0.0, 0.0]}]) == {"adv": 1.0}


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n", "Who?"),
        ("<|im_start|>user\nTwo\nlines?<|im_end|>\n<|im_start|>assistant\n", "Two\nlines?"),
        ("<|im_start|>user<|im_end|>\n\nWho is it?<|im_end|><|im_start|>assistant<|im_end|>\n\n", "Who is it?"),
        ("plain", "plain"),
    ],
)
def test_the_question_is_found_in_a_prompt_without_one(prompt: str, asked: str) -> None:
    (bare,) = parsed(row("a", prompt_ids=encode(prompt)))
    assert question(bare, pieces()) == asked
    (told,) = parsed(row("a", question="As dumped?"))
    assert question(told, pieces()) == "As dumped?"
