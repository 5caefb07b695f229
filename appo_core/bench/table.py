"""Figures of a benchmark, as a table for people or as JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure; `goal` says what it is held against, such as `>= 100`."""

    name: str
    value: float
    unit: str
    goal: str = ""


def show(title: str, figures: Sequence[Figure], *, as_json: bool = False) -> None:
    """Write the figures to standard output."""
    if as_json:
        sys.stdout.write(json.dumps({"title": title, "figures": [asdict(figure) for figure in figures]}) + "\n")
        return
    width = max((len(figure.name) for figure in figures), default=0)
    lines = [title, ""]
    for figure in figures:
        goal = f"   (goal {figure.goal})" if figure.goal else ""
        lines.append(f"  {figure.name:<{width}}  {figure.value:>12,.4g} {figure.unit}{goal}")
    sys.stdout.write("\n".join(lines) + "\n")
