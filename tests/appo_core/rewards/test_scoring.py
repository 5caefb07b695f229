"""Format check, answer extraction and the reward, corrected and as published."""

import pytest

from appo_core.config import RewardSettings
from appo_core.rewards import extract_answer, format_fault, score_response
from appo_core.rewards.match import _symbolically_equal

CORRECTED, REFERENCE = RewardSettings(), RewardSettings(scoring="reference")
SEARCH = "<search>q</search> <result>\nPage 1: p\n</result>"
PYTHON = "<python>1</python> <result>\n1\n</result>"


@pytest.fixture(autouse=True)
def _nothing_remembered():
    _symbolically_equal.cache_clear()
    yield
    _symbolically_equal.cache_clear()


def response(answer="\\boxed{5}", middle="", think="t"):
    return f"<think>{think}</think>{middle}<answer>{answer}</answer>"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (response(), None),
        (response(middle=SEARCH + "<think>u</think>" + PYTHON), None),
        (response() + " more", None),
        ("<think>a" + response(), "not balanced"),
        ("<answer>\\boxed{1}</answer>", "no <think>"),
        (response() + "<answer>", "one <answer>"),
        ("<think></think>", "one <answer>"),
        (response(middle="<search>q"), "<search> is not followed by </search>"),
        (response(middle="<search>q</search>"), "not followed by <result>"),
        (response(middle="<python>1</python>"), "not followed by <result>"),
        (response("5"), "no \\boxed"),
        (response("\\boxed{5"), "no \\boxed"),
        ("<think></think></answer>\\boxed{1}<answer>", "comes before"),
    ],
)
@pytest.mark.parametrize("settings", [CORRECTED, REFERENCE], ids=["corrected", "reference"])
def test_format(text, fault, settings):
    found = format_fault(text, settings.scoring)
    assert found is None if fault is None else fault in (found or "")
    if fault:
        scored = score_response(text, "5", settings)
        assert (scored.score, scored.reason, scored.correct) == (-1.0, found, False)


def test_a_result_that_never_ends_hides_what_follows():
    text = response(middle="<python>1</python> <result>\n1")
    assert "one <answer>" in (format_fault(text) or "")
    assert "not followed by </result>" in (format_fault(text, "reference") or "")


def test_tags_in_results_and_code_are_not_the_models_own():
    quoted = "<think> <answer>\\boxed{9}</answer> <search>"
    result = response(middle=f"<search>q</search> <result>\n{quoted}\n</result>")
    code = response(middle=f"<python>print('{quoted}')</python> <result>\nx\n</result>")
    for text in (result, code):
        assert format_fault(text) is None
        assert extract_answer(text) == "5"
        assert format_fault(text, "reference") is not None


@pytest.mark.parametrize(
    ("inside", "answer"),
    [
        ("\\boxed{5}", "5"),
        ("\\[ \\boxed{ \\frac{1}{2} } \\]", "\\frac{1}{2}"),
        ("\\boxed{1} or \\boxed{2}", "2"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{[0, 1\\}", None),
        ("\\boxed{1} and \\boxed{2", "1"),
        ("\\boxed {5}", "5"),
        ("\\boxed{}", ""),
        ("5", None),
    ],
)
def test_the_last_balanced_box_is_the_answer(inside, answer):
    assert extract_answer(response(inside)) == answer


def test_an_answer_outside_the_block_does_not_count():
    assert extract_answer("\\boxed{1}") is None
    assert extract_answer("<answer>\\boxed{1}</answer><answer>\\boxed{2}</answer>") == "1"


@pytest.mark.parametrize(
    ("answer", "gold", "corrected", "reference"),
    [
        ("5", "5", 1.0, 1.0),
        ("-5", "5", 0.0, 1.0),
        ("1/2", "12", 0.0, 1.0),
        ("(3,5)", "35", 0.0, 1.0),
        ("9.8", "9.80", 1.0, 0.0),
        ("\\frac{1}{2}", "1/2", 1.0, 0.0),
        ("A", "A", 1.0, 0.0),
        ("New York", "New York City", 0.8, 0.8),
        ("yes", "no", 0.0, 0.0),
        ("no way", "no", 0.0, 0.0),
        ("Paris", ["London", "Paris"], 1.0, 1.0),
    ],
)
def test_scores_of_both_kinds(answer, gold, corrected, reference, monkeypatch):
    monkeypatch.setattr("appo_core.rewards.match.shared_pool", _Different)
    text = response(f"\\boxed{{{answer}}}")
    assert score_response(text, gold, CORRECTED).score == pytest.approx(corrected)
    assert score_response(text, gold, REFERENCE).score == pytest.approx(reference)


class _Different:
    def compare(self, prediction, gold):
        return "different"


@pytest.mark.parametrize("settings", [CORRECTED, REFERENCE], ids=["corrected", "reference"])
def test_both_tools_earn_a_bonus_on_a_scored_answer(settings):
    both = response(middle=SEARCH + PYTHON)
    assert score_response(both, "5", settings).score == pytest.approx(1.1)
    assert score_response(both, "6", settings).score == 0.0
    assert score_response(response(middle=SEARCH), "5", settings).score == 1.0


def test_a_wrong_formula_has_no_partial_credit_and_a_wrong_text_has():
    text = response("\\boxed{x + 1}")
    assert score_response(text, "x + 2", CORRECTED, kind="qa").score > 0
    assert score_response(response("\\boxed{4}"), "5", CORRECTED, kind="math").score == 0


def test_the_reference_takes_a_box_with_a_space():
    text = response("\\boxed{} $\\boxed 7$")
    assert score_response(text, "7", REFERENCE).answer == "7"


def test_an_undecided_comparison_says_so(monkeypatch):
    class Timeout:
        def compare(self, prediction, gold):
            return "timeout"

    monkeypatch.setattr("appo_core.rewards.match.shared_pool", Timeout)
    scored = score_response(response("\\boxed{y^2+\\sin y}"), "y^3", CORRECTED)
    assert (scored.decided, scored.correct) == (False, False)
    assert "timeout" in scored.reason


def test_published_rows_score_fully_with_their_own_gold(shared):
    """Every gold of the published validation set is right against itself."""
    frame = pytest.importorskip("pandas").read_parquet(shared / "data" / "rl" / "valid.parquet")
    for ability, reward_model in zip(frame["ability"], frame["reward_model"], strict=True):
        gold = reward_model["ground_truth"]
        scored = score_response(response(f"\\boxed{{{gold}}}"), gold, CORRECTED, kind=ability)
        assert scored.correct, gold
