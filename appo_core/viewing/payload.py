"""A prompt's tree as the plain values that the page draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from appo_core.viewing.dump_file import DumpRow
from appo_core.viewing.figures import Figures
from appo_core.viewing.pieces import Pieces
from appo_core.viewing.regions import find_regions
from appo_core.viewing.tree import Node

Values = list[float | None]


@dataclass(frozen=True)
class Metric:
    """A figure that tokens can be coloured by."""

    key: str
    title: str
    scale: str
    """`q`: sequential from 0; `d`: diverging about `middle`."""
    note: str
    middle: float = 0.0


METRICS = (
    Metric("bs", "Branching score", "q", "Z(entropy) × Z(future value); only positive scores can branch"),
    Metric("adv", "Advantage", "d", "credit each token is trained with; branches only lend their rewards"),
    Metric("ent", "Entropy", "q", "of the policy at this token, in nats"),
    Metric("fut", "Future value", "d", "Ω: how much the policy now prefers what followed; 1 is no change", middle=1.0),
    Metric("nll", "Surprise", "q", "−log μ of the sampled token, in nats"),
)


def token_values(row: DumpRow) -> dict[str, Values]:
    """Per-token figures that the dump of a trajectory has, by metric; None at injected tokens."""
    found: dict[str, Sequence[float]] = {"nll": [-value for value in row.behaviour_logprobs]}
    dumped = {"bs": row.branching_scores, "adv": row.advantages, "ent": row.entropies, "fut": row.future_values}
    found |= {key: values for key, values in dumped.items() if values is not None}
    return {
        key: [rounded(value) if own else None for value, own in zip(values, row.mask, strict=True)]
        for key, values in found.items()
    }


def rounded(value: float) -> float | None:
    """Four digits, and no more than five decimals; None for what is no number, because JSON has no word for it."""
    if not math.isfinite(value):
        return None
    short = float(f"{round(value, 5):.4g}")
    return int(short) if short.is_integer() else short


def runs(values: Sequence[float | None]) -> list[tuple[float | None, int]]:
    """Equal neighbours as (value, count)."""
    return [(value, sum(1 for _ in group)) for value, group in groupby(values)]


def prompt_payload(nodes: Sequence[Node], pieces: Pieces) -> dict[str, Any]:
    """Everything the page draws of one prompt. A branch holds only the tokens behind its branch point."""
    first = nodes[0].row
    return {
        "prompt": pieces.text(first.prompt_ids),
        "question": question(first, pieces),
        "gold": first.gold,
        "nodes": [node_payload(node, pieces) for node in nodes],
    }


def node_payload(node: Node, pieces: Pieces) -> dict[str, Any]:
    """One trajectory from its first own token on; positions count from the response's first token."""
    row, start = node.row, node.start
    texts = pieces.split(row.response_ids)
    values = {key: one[start:] for key, one in token_values(row).items()}
    return {
        "label": node.label,
        "uid": row.uid,
        "parent": node.parent,
        "start": start,
        "score": rounded(row.prefix.score) if row.prefix else None,
        "reward": rounded(row.reward) if row.reward is not None else None,
        "correct": bool(row.correct),
        "failed": row.failed,
        "reason": row.failure or row.reason,
        "answer": row.answer,
        "finish": row.finish,
        "version": row.weights_version,
        "texts": texts[start:],
        "ids": row.response_ids[start:],
        "injected": _spans(row.mask, start),
        "calls": [
            {"tool": call.tool, "end": call.end, "problem": call.problem, "seconds": rounded(call.seconds)}
            for call in row.tool_calls
            if call.end > start or (call.end == start and not all(row.mask[start : start + 1]))
        ],
        "regions": [
            (region.kind, max(region.start, start), region.end)
            for region in find_regions(texts, row.mask, row.tool_calls)
            if region.end > start
        ],
        "values": {key: runs(one) if key == "adv" else one for key, one in values.items()},
    }


def _spans(mask: Sequence[int], start: int) -> list[tuple[int, int]]:
    """Runs of injected tokens from `start` on, as (first, behind last)."""
    spans, place = [], start
    for own, group in groupby(mask[start:]):
        end = place + sum(1 for _ in group)
        if not own:
            spans.append((place, end))
        place = end
    return spans


def question(row: DumpRow, pieces: Pieces) -> str:
    """The question: as dumped, else the last message of the prompt that holds more than its role's name."""
    if row.question:
        return row.question
    messages: list[list[int]] = [[]]
    for index in row.prompt_ids:
        if index in pieces.special:
            messages.append([])
        else:
            messages[-1].append(index)
    texts = [pieces.text(ids).strip() for ids in messages]
    # What stands last opens the model's turn; templates write the role in front of a message, on a line of its own.
    said = [text for text in texts if "\n" in text or " " in text] or [text for text in texts if text] or [""]
    return said[-1].removeprefix("user\n").strip()


def domains(rows: Sequence[dict[str, Values]]) -> dict[str, float]:
    """Per metric, how far from its middle the colours reach: the 99th percentile, so that no outlier pales the rest."""
    reaches = {}
    for metric in METRICS:
        found = [abs(value - metric.middle) for row in rows for value in row.get(metric.key, ()) if value is not None]
        sizes = sorted(value for value in found if value > 0)
        if found:
            reaches[metric.key] = sizes[int(0.99 * (len(sizes) - 1))] if sizes else 1.0
    return reaches


def overview_row(place: int, group: str, nodes: Sequence[Node], text: str, sums: Figures) -> dict[str, Any]:
    """A prompt's line in the list."""
    outcomes = [
        {
            "b": node.row.prefix is not None,
            "o": "f" if node.row.finish == "failed" else "c" if node.row.correct else "w",
        }
        for node in nodes
    ]
    shown = {key: rounded(value) if isinstance(value, float) else value for key, value in sums.json().items()}
    return {"place": place, "group": group, "question": text, "outcomes": outcomes} | shown
