"""The reward of one response: format, answer, token F1 and the bonus for using both tools."""

from collections.abc import Sequence
from dataclasses import dataclass

from appo_core.config import RewardSettings
from appo_core.rewards.match import Kind, Verdict, answers_match, infer_kind
from appo_core.rewards.response import extract_answer, extract_reference_answer, format_fault, own_text
from appo_core.rewards.text import reference_tokens, token_f1


@dataclass(frozen=True)
class RewardResult:
    """What a response earned and why.

    `score` is the reward of training; `correct` the strict verdict of validation and evaluation. `decided` is False
    when a mathematical comparison gave no verdict in time: the row should be left out, not counted as wrong.
    """

    score: float
    reason: str
    answer: str | None
    f1: float
    correct: bool
    decided: bool = True


def score_response(
    response: str, gold: str | Sequence[str], settings: RewardSettings, kind: Kind | None = None
) -> RewardResult:
    """Score a response (without its prompt) against one or several accepted answers.

    `kind` is told from the golds when not given. Corrected scoring gives 1 or 0 to `math` and token F1 to `qa`;
    `reference` reproduces the published reward, where every question is scored by lossy token F1. Both give
    `format_failure` for a format fault and add `multi_tool_bonus` to a score above 0 when both tools were used.
    """
    golds = [gold] if isinstance(gold, str) else list(gold)
    fault = format_fault(response, settings.scoring)
    reference = settings.scoring == "reference"
    answer = None if fault else extract_reference_answer(response) if reference else extract_answer(response)
    if answer is None:
        return RewardResult(settings.format_failure, fault or "no answer can be extracted", None, 0.0, False)
    verdict = answers_match(answer, golds, kind or _common_kind(golds))
    partial = _reference_f1(answer, golds) if reference else _partial(verdict, golds, kind)
    bonus = settings.multi_tool_bonus if partial > 0 and _used_both_tools(response, reference) else 0.0
    return RewardResult(
        partial + bonus, _reason(verdict, partial, bonus), answer, partial, verdict.correct, verdict.decided
    )


def _common_kind(golds: Sequence[str]) -> Kind:
    return "math" if golds and all(infer_kind(gold) == "math" for gold in golds) else "qa"


def _partial(verdict: Verdict, golds: Sequence[str], kind: Kind | None) -> float:
    """Token F1 for text; all or nothing for mathematics, where a shared token shows nothing."""
    if verdict.correct:
        return 1.0
    return 0.0 if (kind or _common_kind(golds)) == "math" else verdict.f1


def _reference_f1(answer: str, golds: Sequence[str]) -> float:
    tokens = reference_tokens(answer)
    return max((token_f1(tokens, reference_tokens(gold)) for gold in golds), default=0.0)


def _used_both_tools(response: str, reference: bool) -> bool:
    text = response if reference else own_text(response)
    return "</search>" in text and "</python>" in text


def _reason(verdict: Verdict, partial: float, bonus: float) -> str:
    if not verdict.decided:
        return f"undecided: the mathematical comparison ended with '{verdict.method}'"
    both = ", both tools used" if bonus else ""
    return f"right ({verdict.method}){both}" if verdict.correct else f"f1 {partial:.3f}{both}"
