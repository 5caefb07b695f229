"""The most telling prompt of a step in Markdown: a Mermaid tree and a table, as the Prefect UI shows them."""

import html
import re
from collections.abc import Iterable, Sequence

from appo_core.viewing.payload import rounded
from appo_core.viewing.step import Prompt, Step
from appo_core.viewing.tree import Node

MAX_NODES = 24
"""Trajectories drawn; a larger tree is no picture any more."""
_MARKS = {"right": "✓", "wrong": "✗", "failed": "!"}
_STYLES = (
    "  classDef right fill:#dcebf8,stroke:#0b66b0,color:#123",
    "  classDef wrong fill:#fbe6d6,stroke:#c04e00,color:#321",
    "  classDef failed fill:#e6e8eb,stroke:#5b616b,color:#222,stroke-dasharray:4",
    "  classDef ask fill:#ece9fb,stroke:#4a3aa8,color:#213",
)


def outline(step: Step) -> str:
    """The step's first prompt: question, tree, table."""
    prompt, total = step.prompts[0], step.total
    nodes = prompt.nodes[:MAX_NODES]
    left_out = len(prompt.nodes) - len(nodes)
    parts = [
        f"## Step {step.number}: the prompt whose branches tell most",
        f"> {_cell(prompt.question, 400)}",
        f"```mermaid\n{mermaid(prompt, nodes)}\n```",
        f"{left_out} more trajectories are left out." if left_out else "",
        _table(nodes),
        f"All {step.total_prompts} prompts of the step: {total.initial} rollouts, {total.correct} correct; "
        f"{total.branches} branches, {total.branch_correct} correct; {total.rescued} branches turned a wrong outcome "
        f"right, {total.lost} a right one wrong.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def mermaid(prompt: Prompt, nodes: Sequence[Node]) -> str:
    """The tree as a flow chart from left to right; an edge to a branch names the token it left at."""
    lines = ["flowchart LR", f'  q["{_safe(prompt.question, 60)}"]:::ask']
    for place, node in enumerate(nodes):
        lines.append(f'  n{place}(["{_label(node)}"]):::{verdict(node)}')
        if node.parent is None:
            lines.append(f"  q --> n{place}")
        else:
            left = f"token {node.start - 1}: {_safe(prompt.points[place], 16)}"
            lines.append(f'  n{node.parent} -->|"{left}"| n{place}')
    return "\n".join([*lines, *_STYLES])


def verdict(node: Node) -> str:
    """`right`, `wrong`, or `failed` for a trajectory that was given up."""
    return "failed" if node.row.finish == "failed" else "right" if node.row.correct else "wrong"


def _label(node: Node) -> str:
    return f"{node.label} {_MARKS[verdict(node)]} {_figure(node.row.reward)}"


def _table(nodes: Sequence[Node]) -> str:
    lines = ["| | left at token | score | reward | why | answer |", "|---|---|---|---|---|---|"]
    lines += [_line(_cells(node)) for node in nodes]
    return "\n".join(lines)


def _cells(node: Node) -> Iterable[str]:
    row = node.row
    branch = row.prefix if node.parent is not None else None
    return (
        f"{_MARKS[verdict(node)]} {node.label}",
        str(branch.split) if branch else "",
        str(rounded(branch.score)) if branch else "",
        _figure(row.reward),
        _cell(row.failure or row.reason, 120),
        _cell(row.answer or "", 80),
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _short(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _safe(text: str, longest: int) -> str:
    """Text that cannot end a Mermaid label, nor bring markup into it: what is special becomes a numeric entity."""
    return re.sub(r"[^\w\s.,:?!+=…-]", lambda match: f"#{ord(match[0])};", _short(text, longest))


def _cell(text: str, longest: int) -> str:
    """Text that Markdown shows as it is, inside a table too."""
    return re.sub(r"[\\`*_{}\[\]()#+!|~$-]", lambda match: f"&#{ord(match[0])};", html.escape(_short(text, longest)))
