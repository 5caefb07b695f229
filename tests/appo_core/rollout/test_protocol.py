"""Calls, results and messages as text."""

import subprocess
import sys

import pytest

from appo_core.config.rollout import PromptSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.prompts import SYSTEM_PROMPTS, system_prompt
from appo_core.rollout.protocol import find_request, limit_message, result_text, split_stops

TOOLS = ("python", "search")


@pytest.mark.parametrize(
    ("text", "tool", "argument"),
    [
        ("<search> a b </search>", "search", "a b"),
        ("<python>\nx = '<'\n</python>", "python", "x = '<'"),
        ("<search> one <search> two </search>", "search", "two"),
        ("<think> use <python> </think> <search> q </search>", "search", "q"),
        ("<search> q </search>\n", "search", "q"),
    ],
)
def test_call_is_found(text: str, tool: str, argument: str) -> None:
    request = find_request(text, TOOLS)
    assert request is not None
    assert (request.tool, request.argument, request.problem) == (tool, argument, None)


def test_no_call() -> None:
    assert find_request("<search> a", TOOLS) is None
    assert find_request("<search> a </search>", ("python",)) is None
    assert find_request("", ()) is None


def test_bare_tag_and_empty_call_are_told_without_tags() -> None:
    for text in ("x </python>", "<python></python>", "<search> x </python>"):
        request = find_request(text, TOOLS)
        assert request is not None
        assert request.problem is not None
        assert "<" not in request.problem


def test_messages() -> None:
    assert result_text("") == " <result>\n\n</result>"
    assert "<" not in limit_message(3)


def test_split_stops() -> None:
    stops = ("</python>", "</search>")
    assert split_stops("", stops) == ()
    assert split_stops("a <", stops) == ("/python>", "/search>")
    assert split_stops("a </sea", stops) == ("rch>",)
    assert split_stops("a </search>", stops) == ()


def test_system_prompts_name_their_tags() -> None:
    for name, tags in {"code_search": ("search", "python"), "search": ("search",), "math": ("python",)}.items():
        assert all(f"<{tag}>" in SYSTEM_PROMPTS[name] for tag in tags)
    assert all("\\boxed{" in prompt for name, prompt in SYSTEM_PROMPTS.items() if name != "demo")
    assert not any("\b" in prompt for prompt in SYSTEM_PROMPTS.values())


def test_system_prompt_of_a_row() -> None:
    assert system_prompt(PromptSettings(system="row"), "own") == "own"
    assert system_prompt(PromptSettings(system="demo"), "own") == SYSTEM_PROMPTS["demo"]
    with pytest.raises(ValueError, match="no system message"):
        system_prompt(PromptSettings(system="row"), None)
    with pytest.raises(ValueError, match="choose from row, code_search"):
        system_prompt(PromptSettings(system="nope"), None)


def test_codec_round_trip(codec: Codec) -> None:
    text = " <result>\n東京 ünï </result>  x\n"
    assert codec.decode(codec.encode(text)) == text
    assert codec.decode([*codec.encode("a"), codec.eos_id]) == "a"
    prompt = codec.tokenizer.decode(codec.prompt_ids("sys", "question"))
    assert prompt == "<|im_start|>system\nsys<|im_end|>\n<|im_start|>user\nquestion<|im_end|>\n<|im_start|>assistant\n"


def test_importing_the_room_is_light() -> None:
    code = (
        "import sys, appo_core.rollout, appo_core.rollout.engines; "
        "sys.exit(bool({'torch', 'vllm', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
