"""The model card of a merged model."""

from collections.abc import Mapping
from typing import Any

_FRONT = """---
library_name: transformers
pipeline_tag: text-generation
tags: [appo, reinforcement-learning, tool-use]
---
"""
_TRAINED_HERE = (
    "A causal language model after cold-start fine-tuning and APPO reinforcement learning, merged from its checkpoint. "
    "It calls `<search>` and `<python>` tools in its text and answers in `<answer>`."
)
_FROM_OUTSIDE = "A causal language model, merged from weights that were trained elsewhere."


def model_card(context: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Markdown: where the model comes from (the job's context) and how the merge was verified.

    Of `context`, `name` is the title, `metrics` a mapping of the checkpoint's figures; everything else that is a
    text, a number or a list of them becomes a row of the origin table (`base`, `data`, `checkpoint`, ...).
    """
    title = str(context.get("name", "Merged model"))
    origin = {key: value for key, value in context.items() if key not in ("name", "metrics") and _plain(value)}
    figures = context.get("metrics", {})
    parts = [
        _FRONT,
        f"# {title}\n",
        f"{_FROM_OUTSIDE if 'source' in context else _TRAINED_HERE}\n",
        _table("Origin", "role", origin),
        _table("Checkpoint", "metric", figures if isinstance(figures, Mapping) else {}),
        _table("Merge", "check", metrics),
    ]
    return "\n".join(part for part in parts if part)


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    return isinstance(value, str | int | float)


def _table(title: str, key: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join([f"## {title}\n", f"| {key} | value |", "|---|---|", *lines, ""])


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
