"""Whether a predicted answer is right: the strict verdict of validation and evaluation, and token F1."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from appo_core.rewards.math_pool import shared_pool
from appo_core.rewards.numbers import canonical, numbers_equal, option_letter, parse_number
from appo_core.rewards.text import answer_tokens, token_f1

Kind = Literal["math", "qa"]
Method = Literal["exact", "numeric", "option", "symbolic", "timeout", "unreadable", "too_long", "empty"]

LONGEST_EXPRESSION = 1000
"""Characters; a longer answer is not compared symbolically."""

_NO_MATH = re.compile(r"[^\W\d_]{3,}|\d(?:st|nd|rd|th)\b")
_LATEX_WORD = re.compile(
    r"\\(?:begin|end)\{[^}]*\}|\\[a-zA-Z]+|\b(?:sqrt|infty|frac|log|sin|cos|tan|cot|sec|csc|exp|arcsin|arccos|arctan)\b"
)
_MATH_MARK = re.compile(r"[\d\\^=+*<>|]|^.$")


@dataclass(frozen=True)
class Verdict:
    """Strict correctness, token F1 against the best gold, and how the verdict came about.

    `method` is `timeout` or `unreadable` when the symbolic comparison gave no verdict: then `decided` is False and
    `correct` False means *not shown to be right*, never *wrong*.
    """

    correct: bool
    f1: float
    method: Method

    @property
    def decided(self) -> bool:
        """Whether the comparison came to a verdict."""
        return self.method not in ("timeout", "unreadable")


def answers_match(prediction: str, golds: Sequence[str], kind: Kind) -> Verdict:
    """Compare a prediction with every accepted answer; the best one counts.

    `math`: option letters, exact numbers, canonical LaTeX, then math-verify in a killable process. `qa`: exact match
    after normalisation, or numeric equality. Blocks at most the time-out of `math_pool` per gold that needs it.
    """
    verdicts = [_match_one(prediction, gold, kind) for gold in golds]
    f1 = max((verdict.f1 for verdict in verdicts), default=0.0)
    best = max(verdicts, key=lambda verdict: (verdict.correct, not verdict.decided), default=None)
    return Verdict(best.correct, f1, best.method) if best else Verdict(False, 0.0, "empty")


def infer_kind(gold: str) -> Kind:
    """`math` for numbers, formulas and single letters; `qa` for anything with words."""
    words = _NO_MATH.search(_LATEX_WORD.sub(" ", gold))
    return "math" if not words and _MATH_MARK.search(gold.strip()) else "qa"


def _match_one(prediction: str, gold: str, kind: Kind) -> Verdict:
    if not prediction.strip():
        return Verdict(False, 0.0, "empty")
    given, expected = answer_tokens(prediction), answer_tokens(gold)
    f1 = token_f1(given, expected)
    if kind == "qa" and given == expected and expected:
        return Verdict(True, 1.0, "exact")
    quick = _quick_verdict(prediction, gold)
    if quick is not None:
        return Verdict(quick[0], f1, quick[1])
    return Verdict(False, f1, "exact") if kind == "qa" else _symbolic(prediction, gold, f1)


def _quick_verdict(prediction: str, gold: str) -> tuple[bool, Method] | None:
    """A verdict on options, numbers and equal LaTeX without symbolic algebra; None where it takes more."""
    expected_letter = gold.strip().strip("()") if len(gold.strip().strip("()")) == 1 else ""
    if expected_letter.isalpha() and option_letter(prediction) == expected_letter.upper():
        return True, "option"
    given, expected = parse_number(prediction), parse_number(gold)
    if given and expected:
        return numbers_equal(given, expected), "numeric"
    if canonical(prediction) == canonical(gold) != "":
        return True, "exact"
    return None


def _symbolic(prediction: str, gold: str, f1: float) -> Verdict:
    if max(len(prediction), len(gold)) > LONGEST_EXPRESSION:
        return Verdict(False, f1, "too_long")
    try:
        equal = _symbolically_equal(prediction.strip().strip("$"), gold.strip().strip("$"))
    except _UndecidedError as error:
        return Verdict(False, f1, error.outcome)
    return Verdict(equal, f1, "symbolic")


class _UndecidedError(Exception):
    """No verdict; an exception, so that it is not remembered."""

    def __init__(self, outcome: Literal["timeout", "unreadable"]) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@lru_cache(maxsize=16384)
def _symbolically_equal(prediction: str, gold: str) -> bool:
    """The pool's verdict, remembered: the rollouts of one prompt often give the same answer."""
    outcome = shared_pool().compare(prediction, gold)
    if outcome == "timeout" or outcome == "unreadable":
        raise _UndecidedError(outcome)
    return outcome == "equal"
