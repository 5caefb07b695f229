"""Suite `sft`: cold-start conversations in `train.jsonl`. Context: `max_characters` (default 120,000)."""

from pathlib import Path

import pandas as pd

from appo_core.checks.rules import Context, Rule, Suite, between, faultless, has_rows, unique
from appo_core.data.conversations import role_error, shape_error
from appo_core.data.readers import Row, read_jsonl
from appo_core.data.schema import SftRow, schema_error
from appo_core.data.text import control_characters

MAX_CHARACTERS = 120_000
"""Far above any cutoff in use: eight characters a token, 15,000 tokens."""


def table(folder: Path, _context: Context) -> pd.DataFrame:
    """One row per conversation: id, faults as text (null when none) and lengths in characters."""
    rows = read_jsonl(str(folder / "train.jsonl"))
    return pd.DataFrame([measure(row, number) for number, row in enumerate(rows, start=1)])


def measure(row: Row, line: int) -> Row:
    """What the rules look at in one conversation; `line` names it where it has no id."""
    fault = schema_error(row, SftRow)
    name = row.get("id") or f"line {line}"
    if fault:
        return {"id": name, "schema": fault, "roles": None, "shape": None, "shortest": 1, "length": 1, "controls": None}
    values = [turn["value"] for turn in row["conversations"]]
    roles = role_error([turn["from"] for turn in row["conversations"]])
    return {
        "id": name,
        "schema": None,
        "roles": roles,
        "shape": None if roles else shape_error(row),
        "shortest": min(len(value.strip()) for value in values),
        "length": len(row.get("system", "")) + sum(map(len, values)),
        "controls": " ".join(dict.fromkeys(control_characters(row.get("system", "") + "".join(values)))) or None,
    }


def rules(context: Context) -> tuple[Rule, ...]:
    """The suite's rules."""
    longest = context.get("max_characters", MAX_CHARACTERS)
    return (
        has_rows("give conversations for the cold start"),
        faultless("fields and types", "schema", "write id, system and conversations with from and value"),
        unique("unique ids", "id", "give every conversation its own id"),
        faultless("roles alternate", "roles", "order the turns: human, (function_call, observation)*, gpt"),
        faultless("tags balanced", "shape", "close every tag, and cut the text behind each closing tool tag"),
        between("no empty turn", "shortest", 1, None, "remove conversations with an empty turn"),
        between("length", "length", None, longest, f"remove or split conversations above {longest} characters"),
        faultless("no control characters", "controls", "set data.repair to true, or remove the characters"),
    )


SUITE = Suite(table, rules)
