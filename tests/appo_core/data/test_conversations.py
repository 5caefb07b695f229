import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.data.conversations import cut_at_calls, response_of, role_error, shape_error, tag_error

_TURNS = st.lists(st.sampled_from(["human", "function_call", "observation", "gpt"]), max_size=6)


@pytest.mark.parametrize(
    "text",
    [
        "<think> a </think><answer> \\boxed{1} </answer>",
        "<think> <python> print('<answer>') </python> <result>\n</think>\n</result> </think>",
        "no tags, 1 < 2 > 0",
    ],
)
def test_balanced(text: str) -> None:
    assert tag_error(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<think> a", "<think> is never closed"),
        ("a </think>", "</think> closes nothing"),
        ("<think><answer></think></answer>", "</think> closes nothing"),
        ("<search> a </python>", "<search> is never closed"),
    ],
)
def test_unbalanced(text: str, fault: str) -> None:
    assert tag_error(text) == fault


@given(_TURNS)
def test_accepted_roles_alternate(roles: list[str]) -> None:
    if role_error(roles) is None:
        assert len(roles) % 2 == 0
        assert set(roles[::2]) <= {"human", "observation"}
        assert set(roles[1::2]) <= {"function_call", "gpt"}
        assert roles.count("function_call") == roles.count("observation")


def test_role_faults_are_named() -> None:
    assert role_error(["human", "human"]) == "human after human"
    assert role_error(["human", "function_call", "observation"]) == "ends with observation, not with gpt"
    assert role_error([]) == "ends with nothing, not with gpt"


def test_inline_results_become_turns() -> None:
    text = "<think> a </think><search> q </search> <result>\nPage 1\n</result> <answer> b </answer>"
    row = {"conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": text}]}
    cut = cut_at_calls(row)
    assert [turn["from"] for turn in cut["conversations"]] == ["human", "function_call", "observation", "gpt"]
    assert response_of(cut) == text
    assert shape_error(cut) is None
    assert cut_at_calls(cut) == cut


def test_tool_turns_have_the_protocols_shape() -> None:
    human = {"from": "human", "value": "?"}
    call = {"from": "function_call", "value": "<search> q </search>"}
    bare = {"from": "observation", "value": "Page 1"}
    open_call = {"from": "function_call", "value": "<search> q"}
    assert "observation" in (shape_error({"conversations": [human, call, bare]}) or "")
    assert "function_call" in (shape_error({"conversations": [human, open_call, bare]}) or "")
