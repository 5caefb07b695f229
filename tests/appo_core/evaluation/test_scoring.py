from pathlib import Path

import pytest

from appo_core.evaluation.benchmarks import REGISTRY, Question, load_questions
from appo_core.evaluation.gaia import gaia_match
from appo_core.evaluation.samples import Sample
from appo_core.evaluation.scoring import score, score_samples
from appo_core.rewards import extract_answer


def question(benchmark: str, *golds: str, text: str = "q", **metadata: str) -> Question:
    return Question(benchmark, "0", text, golds, REGISTRY[benchmark].kind, metadata)


@pytest.mark.parametrize(
    ("prediction", "gold", "right"),
    [
        ("$1,000", "1000", True),
        ("17 %", "17", True),
        ("-5", "5", False),
        ("seventeen", "17", False),
        ("indonesia,Myanmar", "Indonesia, Myanmar", True),
        ("Myanmar, Indonesia", "Indonesia, Myanmar", False),
        ("7; 9", "7, 9", True),
        ("7, 9, 11", "7, 9", False),
        ("castle", "THE CASTLE", False),
        ("THE  Castle.", "THE CASTLE", True),
        ("", "x", False),
    ],
)
def test_gaia_conventions(prediction: str, gold: str, right: bool):
    assert gaia_match(prediction, gold) is right


@pytest.mark.parametrize(("prediction", "right"), [("D", True), ("(d)", True), ("D. Weak", True), ("Weak", True),
                                                   ("A", False), ("Strong", False), ("", False)])  # fmt: skip
def test_hle_options_by_letter_or_text(prediction: str, right: bool):
    item = question("hle", "D", text="Which?\n\nAnswer Choices:\nA. Strong\nD. Weak", answer_type="multipleChoice")
    assert score(item, prediction)[0] is right


def test_text_questions_with_a_formula_are_read_as_mathematics():
    assert score(question("hle", "$\\frac{21}{4}.$"), "5.25")[0]
    assert not score(question("hle", "$\\frac{21}{4}.$"), "5.26")[0]


def test_math_is_compared_by_value():
    assert score(question("math500", "\\frac{1}{2}"), "0.5")[0]
    assert not score(question("gsm8k", "12"), "1/2")[0]


def test_any_alias_counts_and_f1_is_the_best_one():
    item = question("2wiki", "New York City", "NYC")
    assert score(item, "NYC")[:2] == (True, 1.0)
    correct, f1, _ = score(item, "New York")
    assert not correct
    assert f1 == pytest.approx(0.8)


def test_chinese_answers_share_characters():
    correct, f1, _ = score(question("xbench", "大卫・贝克（David Baker）"), "大卫贝克")
    assert not correct
    assert 0.5 < f1 < 1
    assert score(question("xbench", "王建华"), "王建华。")[0]


def test_samples_get_their_verdicts():
    samples = [
        Sample(id="0", sample=number, seed=0, response="", prediction=text, finish="eos")
        for number, text in enumerate(("Green Bay", "", "green bay"))
    ]
    assert [sample.correct for sample in score_samples([question("musique", "Green Bay")], samples)] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "math"])
def test_every_real_gold_answer_is_right_in_a_response(shared: Path, boxed, name: str):
    questions = load_questions(shared / "data" / "benchmarks", name)
    refused = [
        (item.id, gold)
        for item in questions
        for gold in item.golds
        if not score(item, extract_answer(boxed(gold)) or "")[0]
    ]
    assert refused == []
