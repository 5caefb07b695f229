"""Rollouts of a step as JSON lines: everything needed to look inside them later."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from appo_core.training.experience import Scored


@dataclass(frozen=True)
class Credited:
    """A scored trajectory with its token advantages (None for a branch: it only lends its reward)."""

    scored: Scored
    advantage_L: Tensor | None
    score_L: Tensor | None


def dump_row(row: Credited) -> str:
    """One trajectory as a JSON line: the trajectory's fields, its reward, advantages and branching scores."""
    trajectory, reward = row.scored.trajectory, row.scored.reward
    length = len(trajectory)
    advantage, score = (
        [round(value, 5) for value in tensor_L[:length].tolist()] if tensor_L is not None else None
        for tensor_L in (row.advantage_L, row.score_L)
    )
    content = asdict(trajectory) | {
        "kind": "branch" if trajectory.prefix else "init",
        "reward": reward.score,
        "correct": reward.correct,
        "reason": reward.reason,
        "answer": reward.answer,
        "advantages": advantage,
        "advantage_mean": sum(advantage) / length if advantage else 0.0,
        "branching_scores": score,
    }
    return json.dumps(content, ensure_ascii=False)


def dump_rollouts(path: Path, rows: Iterable[Credited]) -> None:
    """Write one step's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(dump_row(row) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)
