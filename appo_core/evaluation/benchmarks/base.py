"""What a benchmark is: a published row format that maps to questions with reference answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Row = Mapping[str, Any]
Kind = Literal["math", "qa"]
Group = Literal["math", "knowledge", "deep search"]


class RowFault(ValueError):
    """A row that cannot become a question: which field, and what to write there."""

    def __init__(self, field_name: str, fault: str, remedy: str) -> None:
        super().__init__(f"field '{field_name}' {fault}")
        self.remedy = remedy


@dataclass(frozen=True)
class Question:
    """One benchmark item. A prediction that agrees with any of `golds` is right."""

    benchmark: str
    id: str
    text: str
    golds: tuple[str, ...]
    kind: Kind
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's published row format."""

    name: str
    display_name: str
    group: Group
    kind: Kind
    golds: Callable[[Row], Sequence[str]]
    """Reference answers of a row; raises `RowFault`."""
    question_fields: tuple[str, ...] = ("question",)
    """Fields that may hold the question; the first that is there counts."""
    id_fields: tuple[str, ...] = ()
    """Fields that may hold the id; without any of them the row's position (from 0) is the id."""
    metadata_fields: tuple[str, ...] = ()
    """Fields kept with the question (level, category, ...); `a.b` reaches into an object."""
    language: Literal["en", "zh", "mixed"] = "en"
    f1: bool = False
    """Token F1 is one of the benchmark's own metrics."""

    def question(self, row: Row, position: int) -> Question:
        """The question of one row; raises `RowFault`."""
        golds = tuple(gold.strip() for gold in self.golds(row))
        return Question(
            benchmark=self.name,
            id=self._id(row, position),
            text=text_field(row, *self.question_fields),
            golds=golds,
            kind=self.kind,
            metadata={name: value for name in self.metadata_fields if (value := _reach(row, name)) not in (None, "")},
        )

    def _id(self, row: Row, position: int) -> str:
        named = (row[name] for name in self.id_fields if row.get(name) not in (None, ""))
        return str(next(named, position))


def text_field(row: Row, *names: str) -> str:
    """The first of the fields `names` that the row has, as non-empty text; raises `RowFault`."""
    name = next((name for name in names if name in row), None)
    if name is None:
        raise RowFault(names[0], f"is missing; the row has {', '.join(row) or 'no fields'}", f"write '{names[0]}'")
    value = row[name]
    if not isinstance(value, str):
        raise RowFault(name, f"is {type(value).__name__}, not text", "write it as a string")
    if not value.strip():
        raise RowFault(name, "is empty", "fill it or remove the row")
    return value


def _reach(row: Row, path: str) -> Any:
    """A value inside nested objects, None where there is none."""
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
