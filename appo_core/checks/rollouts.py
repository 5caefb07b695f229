"""Suite `rollouts`: trajectories in `step_*.jsonl`, one JSON object each. No context.

Every per-token list must have the response's length; mask 0 may only begin where a tool call ended, with log-prob 0.0;
sampled tokens need a finite log-prob; a branch must start with its origin's tokens; weights never grow older.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from appo_core.checks.rules import Context, Rule, Suite, faultless, has_rows, unique
from appo_core.data.readers import Row, read_jsonl
from appo_core.jobs.contract import JobError
from appo_core.rollout.types import Finish

FIELDS = {
    "uid": str,
    "group": str,
    "prompt_ids": list,
    "response_ids": list,
    "mask": list,
    "behaviour_logprobs": list,
    "tool_calls": list,
    "finish": str,
    "weights_version": int,
}
"""What every trajectory must have, with its type."""
_ROUNDING = 1e-4
"""A log-prob may exceed 0 by this much in low precision."""
_FAULTS = ("fields", "alignment", "mask", "logprobs", "reward", "origin", "version")


def table(folder: Path, _context: Context) -> pd.DataFrame:
    """One row per trajectory: id and faults as text, null when there are none."""
    files = sorted(folder.glob("step_*.jsonl"))
    if not files:
        raise JobError(f"{folder}: no step_*.jsonl file", remedy="set rl.dump_rollouts_every to 1 or more")
    rows: list[Row] = []
    oldest = 0
    for file in files:
        step = read_jsonl(str(file))
        rows += measure_step(step, file.stem, oldest)
        oldest = max(oldest, min((row["weights_version"] for row in step if not field_fault(row)), default=0))
    return pd.DataFrame(rows, columns=["id", *_FAULTS]).astype(object)


def measure_step(step: Sequence[Row], name: str, oldest: int) -> list[Row]:
    """What the rules look at in one step's trajectories; `oldest` is the least weights version allowed."""
    origins = {row["uid"]: row for row in step if not field_fault(row)}
    return [measure(row, f"{name} {row.get('uid')}", origins, oldest) for row in step]


def measure(row: Row, name: str, origins: Mapping[str, Row], oldest: int) -> Row:
    """What the rules look at in one trajectory."""
    fault = field_fault(row) or alignment_fault(row)
    if fault:
        kind = "fields" if field_fault(row) else "alignment"
        return {"id": name, **dict.fromkeys(_FAULTS), kind: fault}
    version = row["weights_version"]
    return {
        "id": name,
        "fields": None,
        "alignment": None,
        "mask": mask_fault(row["mask"], [call["end"] for call in row["tool_calls"]]),
        "logprobs": logprob_fault(row["behaviour_logprobs"], row["mask"]),
        "reward": reward_fault(row.get("reward"), row["finish"]),
        "origin": origin_fault(row, origins),
        "version": None if version >= oldest else f"version {version} after {oldest}",
    }


def field_fault(row: Row) -> str | None:
    """The first field that is missing or of the wrong type."""
    for name, kind in FIELDS.items():
        if name not in row:
            return f"{name} is missing"
        if not isinstance(row[name], kind) or isinstance(row[name], bool):
            return f"{name} is {type(row[name]).__name__}"
    return None


def alignment_fault(row: Row) -> str | None:
    """Lists of unequal length, or nothing generated in a trajectory that did not fail."""
    ids, mask, logprobs = len(row["response_ids"]), len(row["mask"]), len(row["behaviour_logprobs"])
    if not ids == mask == logprobs:
        return f"{ids} ids, {mask} mask, {logprobs} log-probs"
    if not row["prompt_ids"]:
        return "no prompt ids"
    return None if ids or row["finish"] == Finish.FAILED else "empty response"


def mask_fault(mask: Sequence[int], call_ends: Sequence[int]) -> str | None:
    """Values other than 0 and 1, or an injected run that no tool call explains."""
    if any(value not in (0, 1) for value in mask):
        return "values other than 0 and 1"
    position, ends = 0, set(call_ends)
    for value, run in groupby(mask):
        if value == 0 and position not in ends:
            return f"injected tokens at {position} without a tool call"
        position += len(list(run))
    return None


def logprob_fault(logprobs: Sequence[Any], mask: Sequence[int]) -> str | None:
    """A sampled token without a finite log-prob at most 0, or an injected one with a log-prob other than 0.0."""
    for position, (value, generated) in enumerate(zip(logprobs, mask, strict=True)):
        if not isinstance(value, int | float) or not math.isfinite(value) or value > _ROUNDING:
            return f"{value} at {position}"
        if not generated and value != 0.0:
            return f"{value} at injected token {position}"
    return None


def reward_fault(reward: Any, finish: str) -> str | None:
    """A reward that is no finite number; failed trajectories have none."""
    if finish == Finish.FAILED:
        return None
    return None if isinstance(reward, int | float) and math.isfinite(reward) else f"{reward}"


def origin_fault(row: Row, origins: Mapping[str, Row]) -> str | None:
    """A branch whose origin is unknown or whose first tokens are not its origin's."""
    prefix = row.get("prefix")
    if not prefix:
        return None
    origin = origins.get(prefix["origin"])
    if origin is None:
        return f"origin {prefix['origin']} is not in this step"
    cut = prefix["split"] + 1
    same = row["response_ids"][:cut] == origin["response_ids"][:cut] and len(row["response_ids"]) >= cut
    return None if same and row["group"] == origin["group"] else f"differs from {prefix['origin']} before token {cut}"


def rules(_context: Context) -> tuple[Rule, ...]:
    """The suite's rules."""
    resample = "discard this step and resume from the checkpoint before it"
    return (
        has_rows("set rl.dump_rollouts_every to 1 or more"),
        faultless("fields", "fields", "write every field of a trajectory"),
        unique("unique ids", "id", "give every trajectory of a step its own uid"),
        faultless("per-token lists aligned", "alignment", resample),
        faultless("mask: generated 1, injected 0", "mask", resample),
        faultless("finite log-probs", "logprobs", "check the engine's precision and the learning rate; " + resample),
        faultless("finite rewards", "reward", "check the reward settings; " + resample),
        faultless("branches share their origin's tokens", "origin", resample),
        faultless("weights never grow older", "version", "check that every weight update reaches the engine"),
    )


SUITE = Suite(table, rules)
