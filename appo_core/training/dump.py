"""Rollouts of a step as JSON lines: everything needed to look inside them later."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from appo_core.training.experience import Scored
from appo_core.training.growing import TokenScores


@dataclass(frozen=True)
class Credited:
    """A scored trajectory with its token advantages (None for a branch that only lends its reward)."""

    scored: Scored
    advantage_L: Tensor | None = None
    scores: TokenScores | None = None


def dump_row(row: Credited) -> str:
    """One trajectory as a JSON line: the trajectory's fields, its reward, advantages and branching scores."""
    trajectory, reward = row.scored.trajectory, row.scored.reward
    length = len(trajectory)
    advantage = _figures(row.advantage_L, length)
    scores = row.scores
    content = asdict(trajectory) | {
        "kind": "branch" if trajectory.prefix else "init",
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


def dump_rollouts(path: Path, rows: Iterable[Credited]) -> None:
    """Write one step's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(dump_row(row) + "\n" for row in rows), encoding="utf-8")
    partial.replace(path)
