"""Verdicts on predictions: a table over the forms that answers take, and properties."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.rewards import answers_match, infer_kind
from appo_core.rewards.match import _symbolically_equal
from appo_core.rewards.math_pool import MathPool
from appo_core.rewards.numbers import Number, numbers_equal, option_letter, parse_number
from appo_core.rewards.text import answer_tokens, reference_tokens, token_f1

MATH = [
    ("5", "5", True), ("-5", "5", False), ("-5", "-5", True), ("−5", "-5", True), ("+5", "5", True),
    ("1/2", "12", False), ("1/2", "0.5", True), ("\\frac{1}{2}", "1/2", True), ("\\dfrac12", "0.5", True),
    ("-\\frac{3}{4}", "-0.75", True), ("\\frac{-3}{4}", "-0.75", True), ("2 3/4", "11/4", True),
    ("1/0", "0", False),
    ("9.8", "9.80", True), ("9.8", "98", False), (".5", "0.5", True), ("0.333333333", "1/3", True),
    ("0.33", "1/3", False),
    ("1,000", "1000", True), ("1{,}000", "1000", True), ("1 000 000", "1000000", True), ("1000000", "1000001", False),
    ("1e3", "1000", True), ("50\\%", "50", True), ("0.5", "50\\%", True), ("\\$5", "5", True),
    ("5\\text{ cm}", "5", True),
    ("90^\\circ", "90", True), ("x=5", "5", True), ("$5$", "5", True), ("5.", "5", True),
    ("A", "A", True), ("(B)", "B", True), ("B. Paris", "B", True), ("\\text{C}", "C", True), ("A", "B", False),
    ("A cat", "A", False), ("\\left(3,5\\right)", "(3,5)", True), ("(3,5)", "35", False),
    ("\\text{even}", "even", True),
    ("", "5", False),
]  # fmt: skip
SYMBOLIC = [
    ("x^2+2x+1", "(x+1)^2", True), ("\\sqrt{8}", "2\\sqrt{2}", True), ("\\sqrt{8}", "2\\sqrt{3}", False),
    ("(3,5)", "(5,3)", False), ("\\{1,2\\}", "\\{2,1\\}", True), ("[1,2)", "[1,2]", False),
    ("\\sin x", "\\sin(x)", True),
    ("2\\pi", "\\pi", False), ("1\\frac12", "3/2", True), ("2^{10}", "1024", True),
]  # fmt: skip
QA = [
    ("The Beatles", "beatles", True), ("Jean-Luc", "jean luc", False), ("Jean-Luc", "JeanLuc", True),
    ("yes", "Yes.", True), ("no", "yes", False), ("-5", "5", False), ("3.14", "314", False), ("1/2", "12", False),
    ("A", "A", True), ("A", "B", False), ("1,234", "1234", True), ("1988-1990", "1988–1990", True),
    ("3:1", "31", False),
    ("42.0", "42", True), ("New York City", "New York", False), ("“Café”", "café", True), ("北京", "北京", True),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_remembered():
    _symbolically_equal.cache_clear()
    yield
    _symbolically_equal.cache_clear()


@pytest.mark.parametrize(("prediction", "gold", "correct"), MATH)
def test_math_without_algebra(prediction, gold, correct, monkeypatch):
    if not correct:
        monkeypatch.setattr("appo_core.rewards.match.shared_pool", _NoPool)
    assert answers_match(prediction, [gold], "math").correct is correct


class _NoPool:
    """Answers that are told apart cheaply, or not at all."""

    def compare(self, prediction, gold):
        return "different"


@pytest.mark.slow
@pytest.mark.parametrize(("prediction", "gold", "correct"), SYMBOLIC)
def test_math_with_algebra(prediction, gold, correct):
    verdict = answers_match(prediction, [gold], "math")
    assert (verdict.correct, verdict.decided) == (correct, True)


@pytest.mark.parametrize(("prediction", "gold", "correct"), QA)
def test_questions(prediction, gold, correct):
    assert answers_match(prediction, [gold], "qa").correct is correct


def test_the_best_of_several_golds_counts():
    verdict = answers_match("New York City", ["Boston", "NYC", "new york city"], "qa")
    assert (verdict.correct, verdict.f1) == (True, 1.0)
    assert answers_match("New York", ["Boston", "New York City"], "qa").f1 == pytest.approx(0.8)
    assert answers_match("x", [], "qa").correct is False


def test_closed_answers_have_no_partial_credit():
    assert token_f1(["no", "idea"], ["no"]) == 0.0
    assert token_f1(["yes"], ["yes"]) == 1.0


@pytest.mark.parametrize(
    ("gold", "kind"),
    [("42", "math"), ("B", "math"), ("\\frac{\\sqrt{2}}{2}", "math"), ("x^2+1", "math"), ("(37", "math"),
     ("Paris", "qa"),
     ("14 April 1988", "qa"), ("yes", "qa"), ("2 May 1936", "qa"),
     ("56th", "qa"), ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "math"), ("\\text{no solution}", "qa")],
)  # fmt: skip
def test_the_kind_is_told_from_the_gold(gold, kind):
    assert infer_kind(gold) == kind


@pytest.mark.parametrize(
    ("answer", "letter"), [("b", "B"), ("(C)", "C"), ("Answer: D", "D"), ("A: x", "A"), ("A cat", None), ("AB", None)]
)
def test_option_letters(answer, letter):
    assert option_letter(answer) == letter


@pytest.mark.slow
def test_a_hanging_comparison_is_reported_and_others_go_on():
    pool = MathPool(workers=2, timeout_s=1.0)
    outcomes = {}
    questions = {"hang": ("9^{9^{9^{9}}}", "7+x"), "fine": ("x+x", "2x")}
    threads = [
        threading.Thread(target=lambda name=name, pair=pair: outcomes.update({name: pool.compare(*pair)}))
        for name, pair in questions.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"hang": "timeout", "fine": "equal"}
    assert pool.compare("x+x", "3x") == "different"
    pool.close()


@pytest.mark.parametrize("outcome", ["timeout", "unreadable"])
def test_no_verdict_is_not_a_wrong_answer(monkeypatch, outcome):
    class Pool:
        def compare(self, prediction, gold):
            return outcome

    monkeypatch.setattr("appo_core.rewards.match.shared_pool", Pool)
    verdict = answers_match(f"\\sin({outcome})", ["x^2"], "math")
    assert (verdict.correct, verdict.decided, verdict.method) == (False, False, outcome)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_a_fraction_is_read_the_same_in_every_form(top, bottom):
    forms = [f"{top}/{bottom}", f"\\frac{{{top}}}{{{bottom}}}", f"$\\dfrac{{{top}}}{{{bottom}}}$"]
    numbers = {parse_number(form) for form in forms}
    assert len(numbers) == 1
    assert isinstance(numbers.pop(), Number)


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_integers_are_equal_only_to_themselves(left, right):
    given_number, expected = parse_number(f"{left:,}"), parse_number(str(right))
    assert given_number is not None
    assert expected is not None
    assert numbers_equal(given_number, expected) == (left == right)


@given(st.text(max_size=40), st.text(max_size=40))
def test_f1_is_symmetric_and_bounded(one, two):
    for tokens in (answer_tokens, reference_tokens):
        f1 = token_f1(tokens(one), tokens(two))
        assert f1 == token_f1(tokens(two), tokens(one))
        assert 0.0 <= f1 <= 1.0


@given(st.text(max_size=60))
def test_any_text_is_handled(text):
    parse_number(text)
    option_letter(text)
    infer_kind(text)
    assert answers_match(text, [text], "qa").correct or not answer_tokens(text)
