"""A step's dump as the model of its page."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appo_core.viewing.dump_file import DumpRow, read_rows
from appo_core.viewing.figures import Brief, Figures, brief, choose_prompts, figures
from appo_core.viewing.payload import METRICS, domains, overview_row, prompt_payload, rounded, token_values
from appo_core.viewing.pieces import Pieces
from appo_core.viewing.tree import Node, build_tree, by_prompt

DEFAULT_PROMPTS = 36
DEFAULT_BYTES = 6_000_000
"""What the prompts of a page may take together unless a number of prompts is asked for."""


@dataclass(frozen=True)
class Prompt:
    """One prompt that the page shows."""

    group: str
    question: str
    nodes: list[Node]
    figures: Figures
    points: list[str]
    """Per node the text of the token it left its origin at, empty for an initial rollout."""
    payload: str
    """JSON of what is drawn."""


@dataclass(frozen=True)
class Step:
    """What one page shows."""

    title: str
    number: int
    prompts: list[Prompt]
    """The chosen ones, the most telling first."""
    total: Figures
    """Of the whole step."""
    total_prompts: int
    index: dict[str, Any]
    """What the page needs before a prompt is opened."""


def load_step(body: bytes, name: str, pieces: Pieces, *, title: str, number: int, prompts: int | None = None) -> Step:
    """Read a dump twice: once for the figures of the whole step, once for the chosen prompts alone.

    Without `prompts`, up to `DEFAULT_PROMPTS` are shown while they fit into `DEFAULT_BYTES`; at least one always is.
    """
    briefs = [brief(row) for row in read_rows(body, name)]
    groups: dict[str, list[Brief]] = {}
    for one in briefs:
        groups.setdefault(one.group, []).append(one)
    sums = {group: figures(rows) for group, rows in groups.items()}
    chosen = choose_prompts(sums, prompts or DEFAULT_PROMPTS)
    wanted = set(chosen)
    rows = by_prompt(row for row in read_rows(body, name) if row.group in wanted)
    shown = _fill(chosen, rows, sums, pieces, None if prompts else DEFAULT_BYTES)
    total = figures(briefs)
    return Step(title, number, shown, total, len(groups), _index(title, number, shown, total, briefs, len(groups)))


def _fill(
    chosen: Sequence[str], rows: dict[str, list[DumpRow]], sums: dict[str, Figures], pieces: Pieces, limit: int | None
) -> list[Prompt]:
    shown: list[Prompt] = []
    size = 0
    for group in chosen:
        nodes = build_tree(rows[group])
        content = prompt_payload(nodes, pieces)
        payload = dump_json(content)
        size += len(payload)
        if shown and limit and size > limit:
            break
        shown.append(Prompt(group, content["question"], nodes, sums[group], branch_tokens(content["nodes"]), payload))
    return shown


def branch_tokens(drawn: Sequence[dict[str, Any]]) -> list[str]:
    """Text of the token that each of a prompt's drawn nodes left its origin at; empty for an initial rollout."""
    return [_text_before(drawn, node["parent"], node["start"]) for node in drawn]


def _text_before(drawn: Sequence[dict[str, Any]], holder: int | None, start: int) -> str:
    """The token before `start` in a node, or in the one it left itself when it shares that token with it."""
    while holder is not None:
        node = drawn[holder]
        if start - 1 >= node["start"]:
            return str(node["texts"][start - 1 - node["start"]])
        holder = node["parent"]
    return ""


def dump_json(content: Any) -> str:
    """Compact JSON; raises `ValueError` on a number that JSON cannot hold."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _index(
    title: str, number: int, shown: Sequence[Prompt], total: Figures, briefs: Sequence[Brief], prompts: int
) -> dict[str, Any]:
    nodes = [node for prompt in shown for node in prompt.nodes]
    reaches = domains([token_values(node.row) for node in nodes])
    return {
        "title": title,
        "step": number,
        "metrics": [
            {
                "key": metric.key,
                "title": metric.title,
                "scale": metric.scale,
                "note": metric.note,
                "middle": metric.middle,
                "reach": rounded(reaches[metric.key]),
            }
            for metric in METRICS
            if metric.key in reaches
        ],
        "total": total.json() | {"prompts": prompts},
        "rewards": _histogram(briefs),
        "points": _points(shown),
        "prompts": [
            overview_row(place, prompt.group, prompt.nodes, prompt.question[:300], prompt.figures)
            for place, prompt in enumerate(shown)
        ],
    }


BINS = 16


def _histogram(briefs: Sequence[Brief]) -> dict[str, Any]:
    """Counts of rewards in `BINS` equal bins, initial rollouts and branches apart."""
    found = [row for row in briefs if row.reward is not None]
    values = [row.reward for row in found if row.reward is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    counts = {"initial": [0] * BINS, "branch": [0] * BINS}
    for row, value in zip(found, values, strict=True):
        place = min(int((value - low) / (high - low) * BINS), BINS - 1) if high > low else 0
        counts["branch" if row.origin else "initial"][place] += 1
    return {"low": rounded(low), "high": rounded(high), **counts}


def _points(shown: Sequence[Prompt]) -> list[tuple[str, int]]:
    """The commonest tokens that branches left at, with how often."""
    return Counter(text for prompt in shown for text in prompt.points if text).most_common(8)
