from hypothesis import given
from hypothesis import strategies as st

from appo_core.data.repair import repaired, repaired_text


def test_latex_commands_are_restored() -> None:
    assert repaired_text("\x08oxed{1} and \x0crac{m}{n}") == "\\boxed{1} and \\frac{m}{n}"


def test_layout_characters_are_removed() -> None:
    assert repaired_text("the di\x0bfference, \x0cfirst") == "the difference, first"


def test_other_control_characters_stay_for_the_check() -> None:
    assert repaired_text("a\x00b") == "a\x00b"


@given(st.text(st.sampled_from("\x08\x0b\x0coxedrac \\b")))
def test_repair_is_idempotent(text: str) -> None:
    assert repaired_text(repaired_text(text)) == repaired_text(text)


def test_repair_reaches_every_text_and_nothing_else() -> None:
    row = {"prompt": [{"content": "\x08oxed"}], "n": 3, "none": None, "ok": True}
    assert repaired(row) == {"prompt": [{"content": "\\boxed"}], "n": 3, "none": None, "ok": True}
