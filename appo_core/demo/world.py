"""The demo world: invented towns and the facts that a search can find about them."""

import random
from dataclasses import dataclass

NUMBER_ATTRIBUTES = ("tower height", "market tax", "orchard count", "bridge length")
NAME_ATTRIBUTES = ("town founder", "river spirit", "harbour master")
_FIRST_WORDS = (
    "Amber",
    "Birch",
    "Cedar",
    "Dusk",
    "Ember",
    "Frost",
    "Granite",
    "Hazel",
    "Iron",
    "Juniper",
    "Maple",
    "Opal",
)
_SECOND_WORDS = ("Bay", "Cliff", "Dale", "Ford", "Gate", "Haven", "Isle", "Moor", "Port", "Ridge", "Vale", "Wick")
_NAMES = (
    "Aldo", "Brea", "Cato", "Dina", "Enzo", "Fara", "Gus", "Hedda", "Ivo", "Juno", "Kai", "Lena",
    "Milo", "Nora", "Odin", "Pia", "Quinn", "Rosa", "Sven", "Tara", "Ugo", "Vera", "Wim", "Yara",
)  # fmt: skip
LOW, HIGH = 40, 99
"""Bounds of every operand: two digits, so that a product and a sum have exactly four."""


@dataclass(frozen=True)
class Fact:
    """One retrievable fact: the `attribute` of `town` is `value`."""

    town: str
    attribute: str
    value: str

    @property
    def text(self) -> str:
        """The sentence that a search returns."""
        return f"The {self.attribute} of {self.town} is {self.value}."

    @property
    def query(self) -> str:
        """A search query that finds it."""
        return f"{self.attribute} of {self.town}"

    @property
    def numeric(self) -> bool:
        """Whether one can calculate with the value."""
        return self.attribute in NUMBER_ATTRIBUTES


@dataclass(frozen=True)
class World:
    """All facts, in a fixed order."""

    facts: tuple[Fact, ...]

    @property
    def corpus(self) -> list[dict[str, str]]:
        """The corpus rows: id, title, text."""
        return [
            {"id": f"fact-{index:04d}", "title": fact.town, "text": fact.text} for index, fact in enumerate(self.facts)
        ]


def build_world(seed: int) -> World:
    """The world of one seed: 144 invented towns, seven attributes each."""
    rng = random.Random(f"world-{seed}")
    facts = []
    for town in (f"{first} {second}" for first in _FIRST_WORDS for second in _SECOND_WORDS):
        facts += [Fact(town, attribute, str(rng.randint(LOW, HIGH))) for attribute in NUMBER_ATTRIBUTES]
        facts += [Fact(town, attribute, rng.choice(_NAMES)) for attribute in NAME_ATTRIBUTES]
    return World(tuple(facts))
