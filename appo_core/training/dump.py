"""Rollouts of a step as JSON lines: everything needed to look inside them later."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from appo_core.training.experience import Scored
from appo_core.training.growing import TokenScores
from appo_core.training.prompts import Prompt


@dataclass(frozen=True)
class Credited:
    """A scored trajectory with its token advantages (None for a branch that only lends its reward)."""

    scored: Scored
    advantage_L: Tensor | None = None
    scores: TokenScores | None = None


def dump_row(row: Credited, prompt: Prompt | None = None) -> str:
    """One trajectory as a JSON line: its fields, question and gold answer, reward, advantages and token scores."""
    trajectory, reward = row.scored.trajectory, row.scored.reward
    length = len(trajectory)
    advantage = _figures(row.advantage_L, length)
    scores = row.scores
    content = asdict(trajectory) | {
        "kind": "branch" if trajectory.prefix else "init",
        "question": prompt.question if prompt else "",
        "gold": prompt.gold if prompt else "",
        "reward": reward.score,
        "correct": reward.correct,
        "reason": reward.reason,
        "answer": reward.answer,
        "advantages": advantage,
        "advantage_mean": sum(advantage) / length if advantage else 0.0,
        "branching_scores": _figures(scores.branching_L, length) if scores else None,
        "entropies": _figures(scores.entropy_L, length) if scores else None,
        "future_values": _figures(scores.future_L, length) if scores else None,
    }
    return json.dumps(content, ensure_ascii=False)


def _figures(values_L: Tensor | None, length: int) -> list[float] | None:
    return None if values_L is None else [round(value, 5) for value in values_L[:length].tolist()]


def dump_rollouts(path: Path, rows: Iterable[Credited], prompts: Iterable[Prompt] = ()) -> None:
    """Write one step's file whole or not at all; `prompts` holds those of the rows, for their questions."""
    by_uid = {prompt.uid: prompt for prompt in prompts}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            # A group is a prompt's place in the step and its uid.
            uid = row.scored.trajectory.group.partition("/")[2]
            file.write(dump_row(row, by_uid.get(uid)) + "\n")
    partial.replace(path)
