"""Rules over the columns of a suite's table, each one a Great Expectations expectation with a remedy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

Context = Mapping[str, Any]
"""What a suite needs besides the folder: other folders, settings."""


@dataclass(frozen=True)
class Rule:
    """One expectation: its name in reports, the expectation class with its arguments, what to do when it fails."""

    name: str
    expectation: str
    arguments: Mapping[str, Any]
    remedy: str


@dataclass(frozen=True)
class Suite:
    """A table maker (one row per item, with a column `id`) and the rules its columns must meet."""

    table: Callable[[Path, Context], pd.DataFrame]
    rules: Callable[[Context], tuple[Rule, ...]]


def has_rows(remedy: str) -> Rule:
    """The table holds at least one row."""
    return Rule("not empty", "ExpectTableRowCountToBeBetween", {"min_value": 1}, remedy)


def unique(name: str, column: str, remedy: str) -> Rule:
    """No value of the column occurs twice."""
    return Rule(name, "ExpectColumnValuesToBeUnique", {"column": column}, remedy)


def faultless(name: str, column: str, remedy: str) -> Rule:
    """The column, which describes each row's fault, is null everywhere."""
    return Rule(name, "ExpectColumnValuesToBeNull", {"column": column}, remedy)


def between(name: str, column: str, low: float | None, high: float | None, remedy: str) -> Rule:
    """Every value lies in [low, high]."""
    return Rule(name, "ExpectColumnValuesToBeBetween", {"column": column, "min_value": low, "max_value": high}, remedy)


def one_of(name: str, column: str, values: list[str], remedy: str) -> Rule:
    """Every value that is not null is one of `values`."""
    return Rule(name, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": values}, remedy)


def equal(name: str, column: str, other: str, remedy: str) -> Rule:
    """Two columns agree in every row that has either."""
    arguments = {"column_A": column, "column_B": other, "ignore_row_if": "both_values_are_missing"}
    return Rule(name, "ExpectColumnPairValuesToBeEqual", arguments, remedy)
