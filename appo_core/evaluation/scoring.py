"""Whether a sample's prediction is right, by the rules of its benchmark."""

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.gaia import gaia_match
from appo_core.evaluation.samples import Sample
from appo_core.rewards import Verdict, answers_match, infer_kind

_CJK = re.compile(r"([\u3400-\u9fff\u3040-\u30ff\uac00-\ud7af])")
_CJK_MARKS = re.compile("[\u3001\u3002\u300a-\u3011\u30fb\u00b7\uff65]")
_CHOICE = re.compile(r"^\s*\(?([A-Z])[.):]\s+(.+?)\s*$", re.MULTILINE)
UNDECIDED = ("timeout", "unreadable")
"""Methods of verdicts that say *not shown to be right*: counted as wrong, and stated in the report."""


def score(question: Question, prediction: str) -> tuple[bool, float, str]:
    """Correctness, token F1 and the deciding rule of one prediction."""
    verdict = _verdict(question, prediction)
    if not verdict.correct and _meets_convention(question, prediction):
        return True, verdict.f1, "convention"
    return verdict.correct, 1.0 if verdict.correct and question.kind == "qa" else verdict.f1, str(verdict.method)


def score_samples(questions: Sequence[Question], samples: Sequence[Sample]) -> list[Sample]:
    """`samples` with their verdicts. Symbolic comparisons run beside each other in processes of their own."""
    by_id: Mapping[str, Question] = {question.id: question for question in questions}

    def scored(sample: Sample) -> Sample:
        correct, f1, method = score(by_id[sample.id], sample.prediction)
        return sample.model_copy(update={"correct": correct, "f1": round(f1, 6), "method": method})

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(scored, samples))


def _verdict(question: Question, prediction: str) -> Verdict:
    """The general comparison; text questions whose answer is a formula (HLE has many) are also read as mathematics."""
    if question.kind == "math":
        return answers_match(prediction, question.golds, "math")
    verdict = answers_match(separate_cjk(prediction), [separate_cjk(gold) for gold in question.golds], "qa")
    formulas = [gold for gold in question.golds if infer_kind(gold) == "math"]
    if verdict.correct or not formulas or not prediction.strip():
        return verdict
    symbolic = answers_match(prediction, formulas, "math")
    return Verdict(symbolic.correct, max(verdict.f1, symbolic.f1), symbolic.method)


def _meets_convention(question: Question, prediction: str) -> bool:
    """The benchmark's own way of answering: GAIA's numbers and lists, the text of an HLE option for its letter."""
    if question.benchmark == "gaia":
        return any(gaia_match(prediction, gold) for gold in question.golds)
    if question.metadata.get("answer_type") == "multipleChoice":
        choices = {letter: text for letter, text in _CHOICE.findall(question.text) if letter in question.golds}
        return any(answers_match(prediction, [text], "qa").correct for text in choices.values())
    return False


def separate_cjk(text: str) -> str:
    """Chinese, Japanese and Korean characters as tokens of their own, so that F1 counts characters there."""
    return _CJK.sub(r" \1 ", _CJK_MARKS.sub(" ", text))
