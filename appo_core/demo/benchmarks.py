"""Miniatures of the benchmarks: demo questions in each benchmark's own published row format."""

from collections.abc import Callable
from typing import Any

from appo_core.demo.questions import Kind, Question

Row = dict[str, Any]


def _aime24(index: int, question: Question) -> Row:
    return {
        "id": index,
        "problem": question.text,
        "solution": f"Compute {question.program}.",
        "answer": question.answer,
        "url": f"demo://aime24/{index}",
        "question": question.text,
    }


def _aime25(index: int, question: Question) -> Row:
    return {"problem": question.text, "answer": int(question.answer), "id": str(index)}


def _plain(_index: int, question: Question) -> Row:
    return {"question": question.text, "answer": question.answer}


def _listed(_index: int, question: Question) -> Row:
    return {"question": question.text, "answer": [question.answer]}


def _lower_case(_index: int, question: Question) -> Row:
    return {"question": question.text, "answer": [question.answer.lower()]}


def _gsm8k(index: int, question: Question) -> Row:
    product = question.first * question.factor
    rationale = f"First {question.first}*{question.factor}=<<{question.first}*{question.factor}={product}>>{product}."
    return {"question": question.text, "answer": f"{rationale}\n#### {int(question.answer):,}", "idx": index}


def _math(_index: int, question: Question) -> Row:
    return {
        "problem": question.text,
        "level": "Level 1",
        "type": "Prealgebra",
        "solution": f"The value is $\\boxed{{{question.answer}}}$.",
        "answer": question.answer,
    }


def _webwalker(_index: int, question: Question) -> Row:
    town = question.fact.town if question.fact else ""
    info = {
        "domain": "organization",
        "source_website": [f"demo://{town}"],
        "golden_path": [f"root->{town}"],
        "type": "single_source",
        "difficulty_level": "easy",
        "lang": "en",
    }
    return {"question": question.text, "answer": question.answer, "root_url": "demo://", "info": info}


def _gaia(index: int, question: Question) -> Row:
    return {
        "id": index,
        "task_id": f"demo-{index:04d}",
        "Question": question.text,
        "answer": question.answer,
        "Level": 1 + index % 3,
        "Annotator_Metadata": {"Steps": "1. Search.\n2. Compute.", "Number of steps": "2"},
    }


def _hle(index: int, question: Question) -> Row:
    return {
        "id": f"demo-hle-{index:04d}",
        "question": question.text,
        "answer": question.answer,
        "answer_type": "exactMatch",
        "rationale": "",
        "raw_subject": "Geography",
        "category": "Other",
        "canary": "",
        "has_image": False,
        "has_image_preview": False,
        "has_rationale_image": False,
    }


MINIATURES: dict[str, tuple[Kind, Callable[[int, Question], Row]]] = {
    "aime24": (Kind.ARITHMETIC, _aime24),
    "aime25": (Kind.ARITHMETIC, _aime25),
    "math500": (Kind.ARITHMETIC, _plain),
    "math": (Kind.ARITHMETIC, _math),
    "gsm8k": (Kind.ARITHMETIC, _gsm8k),
    "webwalker": (Kind.BOTH, _webwalker),
    "hotpotqa": (Kind.LOOKUP, _listed),
    "2wiki": (Kind.LOOKUP, _listed),
    "musique": (Kind.LOOKUP, _listed),
    "bamboogle": (Kind.LOOKUP, _lower_case),
    "gaia": (Kind.BOTH, _gaia),
    "hle": (Kind.BOTH, _hle),
    "xbench": (Kind.BOTH, _listed),
    "simpleqa": (Kind.LOOKUP, _listed),
}
"""What each miniature asks, and its row format."""
