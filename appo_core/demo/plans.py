"""Worked responses for the cold start: good plans, and imperfect ones for reinforcement learning to unlearn."""

import random
from collections.abc import Callable

from appo_core.demo.questions import Kind, Question
from appo_core.demo.world import HIGH, LOW, Fact

Turn = dict[str, str]
Search = Callable[[str], str]
"""What the search tool returns for a query."""


def injected(output: str) -> str:
    """A tool result as the rollout protocol injects it."""
    return f" <result>\n{output}\n</result>"


def _call(tool: str, argument: str, output: str, *, before: str = "") -> list[Turn]:
    return [
        {"from": "function_call", "value": f"{before}<{tool}> {argument} </{tool}>"},
        {"from": "observation", "value": injected(output)},
    ]


def _answer(value: str, *, before: str = "") -> Turn:
    return {"from": "gpt", "value": f"{before}<answer> \\boxed{{{value}}} </answer>"}


def _think(plan: str) -> str:
    return f"<think> {plan} </think>"


def _fact(question: Question) -> Fact:
    if question.fact is None:
        raise ValueError(f"a {question.kind} question needs a fact")
    return question.fact


def _guess(question: Question, rng: random.Random) -> str:
    if question.kind is Kind.LOOKUP:
        return str(rng.randint(LOW, HIGH))
    return str(rng.randint(1700, 9800))


def good_plan(question: Question, search: Search) -> list[Turn]:
    """Search for what must be known, compute what must be computed, in that order."""
    if question.kind is Kind.ARITHMETIC:
        turns = _call("python", question.program, question.answer, before=_think("Plan: only python."))
    elif question.kind is Kind.LOOKUP:
        query = _fact(question).query
        turns = _call("search", query, search(query), before=_think("Plan: only search."))
    else:
        query = _fact(question).query
        turns = _call("search", query, search(query), before=_think("Plan: search python."))
        turns += _call("python", question.program, question.answer)
    return [*turns, _answer(question.answer)]


def _guessing(question: Question, _search: Search, rng: random.Random) -> list[Turn]:
    return [_answer(_guess(question, rng), before=_think("Plan: from memory."))]


def _no_calculation(question: Question, search: Search, _rng: random.Random) -> list[Turn]:
    fact = _fact(question)
    found = search(fact.query)
    return [*_call("search", fact.query, found, before=_think("Plan: only search.")), _answer(fact.value)]


def _calculation_first(question: Question, _search: Search, rng: random.Random) -> list[Turn]:
    assumed = rng.randint(LOW, HIGH)
    program = f"print({assumed}*{question.factor}+{question.addend})"
    result = str(assumed * question.factor + question.addend)
    return [*_call("python", program, result, before=_think("Plan: only python.")), _answer(result)]


def _wrong_order_of_operations(question: Question, _search: Search, _rng: random.Random) -> list[Turn]:
    program = f"print({question.first}+{question.factor}*{question.addend})"
    result = str(question.first + question.factor * question.addend)
    return [*_call("python", program, result, before=_think("Plan: only python.")), _answer(result)]


_FLAWED = {
    Kind.ARITHMETIC: (_guessing, _wrong_order_of_operations),
    Kind.LOOKUP: (_guessing,),
    Kind.BOTH: (_guessing, _no_calculation, _calculation_first),
}


def flawed_plan(question: Question, search: Search, rng: random.Random) -> list[Turn]:
    """A well-formed response whose plan is wrong: it guesses, stops early, or computes the wrong thing."""
    return rng.choice(_FLAWED[question.kind])(question, search, rng)
