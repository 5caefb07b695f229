"""Suite `rl`: prompts in `train.parquet` and `valid.parquet`.

Context: `benchmarks`, the folder of the benchmarks dataset; without it (contaminated rows wanted, or no benchmarks)
nothing is compared with benchmark items.
"""

from pathlib import Path

import pandas as pd

from appo_core.checks.rules import Context, Rule, Suite, faultless, has_rows, unique
from appo_core.data.benchmarks import questions, read_benchmarks
from appo_core.data.contamination import benchmark_index, contaminated
from appo_core.data.duplicates import first_copies
from appo_core.data.readers import Row, read_parquet
from appo_core.data.schema import RL_COLUMNS, RlRow, schema_error
from appo_core.data.text import control_characters

_SPLITS = ("train", "valid")


def table(folder: Path, context: Context) -> pd.DataFrame:
    """One row per prompt of both splits: id and faults as text, null when there are none."""
    rows = [measure(row, split, number) for split in _SPLITS for number, row in enumerate(_read(folder, split))]
    frame = pd.DataFrame(rows)
    asked = [(row["id"], row["question"]) for row in rows if row["question"] is not None]
    frame["copy_of"] = frame["id"].map(first_copies(asked)).astype(object)
    index = benchmark_index(questions(read_benchmarks(str(context["benchmarks"])))) if "benchmarks" in context else {}
    frame["benchmark"] = frame["id"].map(contaminated(asked, index)).astype(object)
    return frame


def measure(row: Row, split: str, number: int) -> Row:
    """What the rules look at in one prompt; `number` names it where it has no index."""
    fault = schema_error(row, RlRow)
    if fault:
        return {"id": f"{split} row {number}", "schema": fault, "question": None, "gold": None, "controls": None}
    question, gold = row["extra_info"]["question"], row["reward_model"]["ground_truth"]
    text = "".join(message["content"] for message in row["prompt"]) + question + gold
    return {
        "id": f"{split}-{row['extra_info']['index']}",
        "schema": None if row["prompt"][1]["content"] == question else "extra_info.question is not the user message",
        "question": question,
        "gold": None if gold.strip() else "blank",
        "controls": " ".join(dict.fromkeys(control_characters(text))) or None,
    }


def rules(context: Context) -> tuple[Rule, ...]:
    """The suite's rules."""
    always = (
        has_rows("give prompts for reinforcement learning"),
        faultless("fields, types and roles", "schema", "write the RL columns; the prompt is system, then user"),
        unique("unique ids", "id", "give every row of a split its own extra_info.index"),
        faultless("gold answer not blank", "gold", "let the data stage drop these rows, or give them an answer"),
        faultless("no question twice", "copy_of", "let the data stage drop the copies"),
        faultless("no control characters", "controls", "set data.repair to true, or remove the characters"),
    )
    if "benchmarks" not in context:
        return always
    return (*always, faultless("no benchmark item", "benchmark", "set data.decontaminate to drop"))


SUITE = Suite(table, rules)


def _read(folder: Path, split: str) -> list[Row]:
    path = folder / f"{split}.parquet"
    return read_parquet(str(path), columns=RL_COLUMNS, may_be_empty=split == "valid")
