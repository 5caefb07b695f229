"""Whether entropy alone would have chosen the branch points that entropy times future value chose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appo_core.config.compare import PointRules
from appo_core.experiments.regions import TokenText, is_plain

Floats = NDArray[np.float64]
SAME = 1e-3
"""Scores of a rollout this near to its entropy's z-scores are those: the future value had nothing to say."""


@dataclass(frozen=True)
class Overlap:
    """Counts over rollouts that were branched and whose future value had something to say."""

    rollouts: int = 0
    points: int = 0
    both: int = 0
    """Points that entropy alone would have chosen too, given as many points in the same rollout."""
    by_chance: float = 0.0
    """Points that a blind choice among the tokens allowed would be expected to share."""

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(
            self.rollouts + other.rollouts,
            self.points + other.points,
            self.both + other.both,
            self.by_chance + other.by_chance,
        )


def overlap(row: Mapping[str, Any], chosen: set[int], text_of: TokenText, rules: PointRules) -> Overlap:
    """One dumped rollout's part; empty where no branch left it or its entropies were not dumped."""
    entropies, scores = row.get("entropies"), row.get("branching_scores")
    if not chosen or not entropies or not scores:
        return Overlap()
    mask = np.array(row["mask"], dtype=bool)
    z_L = z_score(np.array(entropies), mask)
    if np.abs(z_L - np.array(scores))[mask].max() < SAME:
        return Overlap()
    plain = [is_plain(text_of(index)) and place < rules.last for place, index in enumerate(row["response_ids"])]
    allowed = mask & np.array(plain)
    alone = peaks(np.where(allowed & (z_L > 0), z_L, -np.inf), len(chosen), rules.min_distance)
    chance = len(chosen) * min(1.0, len(chosen) / max(int(allowed.sum()), 1))
    return Overlap(1, len(chosen), len(chosen & set(alone)), chance)


def z_score(values_L: Floats, mask_L: NDArray[np.bool_]) -> Floats:
    """Z-scores over the generated tokens, population deviation; 0 elsewhere and for a constant row."""
    mean, deviation = values_L[mask_L].mean(), values_L[mask_L].std()
    if deviation < 1e-9:
        return np.zeros_like(values_L)
    return np.where(mask_L, (values_L - mean) / deviation, 0.0)


def peaks(score_L: Floats, count: int, min_distance: int) -> Sequence[int]:
    """The best `count` finite positions, more than `min_distance` apart, best first."""
    left, found = score_L.copy(), list[int]()
    while len(found) < count and np.isfinite(left.max(initial=-np.inf)):
        best = int(left.argmax())
        found.append(best)
        left[max(0, best - min_distance) : best + min_distance + 1] = -np.inf
    return found
