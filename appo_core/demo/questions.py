"""Questions of the demo world: arithmetic (code), look-ups (search), and both in the right order."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from appo_core.demo.world import HIGH, LOW, Fact, World

_OPENINGS = ("What is", "Do you know", "Can you find")


class Kind(StrEnum):
    """What a question needs."""

    ARITHMETIC = "arithmetic"
    LOOKUP = "lookup"
    BOTH = "both"


@dataclass(frozen=True)
class Question:
    """One question, what it is made of, and its answer."""

    kind: Kind
    text: str
    answer: str
    factor: int = 0
    addend: int = 0
    first: int = 0
    """The first operand: given in the question, or to be looked up."""
    fact: Fact | None = None

    @property
    def program(self) -> str:
        """The Python call that computes the answer."""
        return f"print({self.first}*{self.factor}+{self.addend})"


def _operand(rng: random.Random) -> int:
    return rng.randint(LOW, HIGH)


def arithmetic(rng: random.Random) -> Question:
    """A product and a sum, beyond a small model's head."""
    first, factor, addend = _operand(rng), _operand(rng), _operand(rng)
    text = f"What is {first} times {factor} plus {addend}?"
    return Question(Kind.ARITHMETIC, text, str(first * factor + addend), factor, addend, first)


def lookup(rng: random.Random, facts: list[Fact]) -> Question:
    """One fact that only the corpus knows."""
    fact = rng.choice(facts)
    return Question(Kind.LOOKUP, f"{rng.choice(_OPENINGS)} the {fact.query}?", fact.value, fact=fact)


def both(rng: random.Random, facts: list[Fact]) -> Question:
    """A fact first, then arithmetic with it."""
    fact = rng.choice(facts)
    factor, addend, first = _operand(rng), _operand(rng), int(fact.value)
    text = f"Times {factor} plus {addend}: what is the {fact.query}?"
    return Question(Kind.BOTH, text, str(first * factor + addend), factor, addend, first, fact)


def distinct_questions(world: World, rng: random.Random, kinds: tuple[Kind, ...]) -> Iterator[Question]:
    """Endless questions of the given kinds in turn, none twice; look-ups end when their facts are used up."""
    facts = list(world.facts)
    numeric = [fact for fact in facts if fact.numeric]
    makers = {
        Kind.ARITHMETIC: lambda: arithmetic(rng),
        Kind.LOOKUP: lambda: lookup(rng, facts),
        Kind.BOTH: lambda: both(rng, numeric),
    }
    seen: set[str] = set()
    misses = 0
    while misses < 10_000:
        for kind in kinds:
            question = makers[kind]()
            if question.text in seen:
                misses += 1
                continue
            misses = 0
            seen.add(question.text)
            yield question
