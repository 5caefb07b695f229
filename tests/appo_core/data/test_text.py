import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.data.text import comparison_key, control_characters, listed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who wrote 'Emma'?", "who wrote “Emma”"),
        ("Find $x+1$.", "Find \\(x + 1\\)"),
        ("A  B\nC", "a b c"),
        ("2\u22121", "2-1"),
        ("\uff21\uff22", "ab"),
    ],
)
def test_wordings_of_one_question_share_a_key(one: str, other: str) -> None:
    assert comparison_key(one) == comparison_key(other)


@pytest.mark.parametrize(("one", "other"), [("2+3", "2-3"), ("1.5", "15"), ("(1+2)*3", "1+2*3"), ("黄金", "白银")])
def test_different_questions_have_different_keys(one: str, other: str) -> None:
    assert comparison_key(one) != comparison_key(other)


@given(st.text())
def test_key_is_a_fixed_point(text: str) -> None:
    assert comparison_key(comparison_key(text)) == comparison_key(text)


@given(st.text(st.characters(exclude_categories=["Cc"])))
def test_printable_text_holds_no_control_characters(text: str) -> None:
    assert control_characters(text + "\n\t\r") == []


def test_control_characters_are_named() -> None:
    assert control_characters("a\x08b\x0c") == ["U+0008", "U+000C"]


def test_listed_says_how_many_more() -> None:
    assert listed(["a", "b", "c"], limit=2) == "a, b and 1 more"
    assert listed(["a"]) == "a"
