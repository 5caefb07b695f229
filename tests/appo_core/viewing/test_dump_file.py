"""A dump is read whole, or its fault is one line with the remedy."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from appo_core.jobs.contract import JobError
from appo_core.viewing.dump_file import choose_step, read_rows
from tests.appo_core.viewing.dumps import branch, lines, row


def test_rows_come_back_in_order_and_blank_lines_do_not_count() -> None:
    body = lines([row("a")]) + b"\n" + lines([row("b")]).rstrip(b"\n")
    assert [one.uid for one in read_rows(body, "x")] == ["a", "b"]


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def changed(name: str, value: Any) -> Callable[[bytes], bytes]:
    return lambda body: json.dumps(json.loads(body) | {name: value}).encode()


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (cut, "not JSON"),
        (lambda body: body.replace(b"eos", b"\xff\xfe"), "not UTF-8"),
        (lambda _body: b"[1]", "valid dictionary"),
        (changed("response_ids", "no"), "response_ids"),
        (changed("mask", [1]), "mask has 1 entries"),
        (changed("advantages", []), "advantages has 0 entries"),
        (changed("prefix", {"origin": "a", "split": 99}), "leaves its origin at token 99"),
    ],
)
def test_a_damaged_line_is_named_with_its_number(spoil: Callable[[bytes], bytes], cause: str) -> None:
    body = lines([row("a")]) + spoil(lines([row("b")]).rstrip(b"\n"))
    with pytest.raises(JobError, match=r"step_000001\.jsonl, line 2") as raised:
        list(read_rows(body, "step_000001.jsonl"))
    assert cause in raised.value.message
    assert "\n" not in raised.value.message
    assert "choose another step" in raised.value.remedy


def test_an_empty_dump_is_said() -> None:
    with pytest.raises(JobError, match="holds no rollouts"):
        list(read_rows(b"\n", "x"))


def test_the_newest_step_is_chosen_by_number() -> None:
    names = ["step_000009.jsonl", "step_000010.jsonl", "step_000011.partial", "view.html"]
    assert choose_step(names, None, "x") == (10, "step_000010.jsonl")
    assert choose_step(names, 9, "x") == (9, "step_000009.jsonl")
    with pytest.raises(JobError, match="x: step 3 was not dumped") as raised:
        choose_step(names, 3, "x")
    assert raised.value.remedy == "2 steps were, such as 9, 10"
    with pytest.raises(JobError, match="no step_"):
        choose_step(["view.html"], None, "x")


def test_failures_and_refusals_are_problems_but_only_failures_fail_a_trajectory() -> None:
    call = {"tool": "search", "end": 1}
    rows = [
        row("a", tool_calls=[call | {"failure": "timeout"}]),
        row("b", tool_calls=[call | {"refused": True}]),
        branch("c", row("b"), 0, tool_calls=[call]),
        row("d", finish="failed"),
    ]
    read = list(read_rows(lines(rows), "x"))
    assert [one.failed for one in read] == [True, False, False, True]
    assert [one.tool_calls[0].problem for one in read[:3]] == ["failed: timeout", "not run: call limit reached", None]
