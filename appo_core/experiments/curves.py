"""Learning curves of RL runs against generated tokens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appo_core.jobs.contract import JobError

Floats = NDArray[np.float64]
TOKENS = "rollout/generated_tokens"
REWARD = "train/score"
GRID_POINTS = 61
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Curve:
    """A metric at rising numbers of generated tokens."""

    tokens: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, tokens_G: Floats) -> Floats:
        """(G,) values, linear between points and constant beyond the ends."""
        return np.interp(tokens_G, self.tokens, self.values)

    def final(self, budget: float) -> float:
        """The value at the budget; of a run that ended earlier, its last one."""
        return float(self.at(np.array([budget]))[0])

    def area(self, budget: float) -> float:
        """Mean height up to the budget: the area under the curve divided by the budget, in the metric's unit."""
        inner = [token for token in self.tokens if 0 < token < budget]
        tokens_G = np.array([0.0, *inner, budget])
        return float(np.trapezoid(self.at(tokens_G), tokens_G) / budget)


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics.jsonl by step; raises `JobError` when it cannot be read."""
    try:
        rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines()]
        return sorted(rows, key=lambda row: int(row["step"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: no readable metrics ({error})", remedy="run this variant again") from None


def tokens_after(rows: Sequence[Row]) -> list[float]:
    """Tokens generated for training up to and with each row's step; validations are not counted."""
    return np.cumsum([float(row.get(TOKENS, 0.0)) for row in rows]).tolist()


def curve(rows: Sequence[Row], metric: str) -> Curve:
    """The rows that have the metric; raises `JobError` when none has."""
    points = [(after, float(row[metric])) for after, row in zip(tokens_after(rows), rows, strict=True) if metric in row]
    if not points:
        known = sorted({name for row in rows for name in row if "/" in name})
        raise JobError(
            f"no step has the metric '{metric}'; there are {', '.join(known)}",
            remedy="choose compare.metric, or validate more often (rl.validate_every)",
        )
    tokens, values = zip(*points, strict=True)
    return Curve(tokens, values)


def grid(budget: float, points: int = GRID_POINTS) -> Floats:
    """(G,) token counts from 0 to the budget."""
    return np.linspace(0.0, budget, points)


def smooth(curve: Curve, width: int) -> Curve:
    """Each value the mean of the last `width`, its own included: for metrics that are noisy from step to step."""
    values = [float(np.mean(curve.values[max(0, end - width) : end])) for end in range(1, len(curve.values) + 1)]
    return Curve(curve.tokens, tuple(values))


def mean_of(rows: Sequence[Row], metric: str) -> float | None:
    """Mean of a metric over the rows that have it; None where none has."""
    values = [float(row[metric]) for row in rows if metric in row]
    return float(np.mean(values)) if values else None
