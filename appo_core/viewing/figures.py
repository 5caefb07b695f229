"""What a prompt and a step come to in figures, and which prompts to show."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from appo_core.viewing.dump_file import DumpRow


@dataclass(frozen=True)
class Brief:
    """What is kept of a trajectory when a whole step is looked over."""

    uid: str
    group: str
    origin: str | None
    reward: float | None
    correct: bool
    failed: bool
    tokens: int
    """Tokens the model generated; a branch's own only."""
    calls: int
    failed_calls: int


def brief(row: DumpRow) -> Brief:
    """A trajectory without its per-token lists."""
    start = row.prefix.split + 1 if row.prefix else 0
    own = [call for call in row.tool_calls if call.end > start]
    return Brief(
        uid=row.uid,
        group=row.group,
        origin=row.prefix.origin if row.prefix else None,
        reward=row.reward if row.reward is not None and math.isfinite(row.reward) else None,
        correct=bool(row.correct),
        failed=row.failed,
        tokens=sum(row.mask[start:]),
        calls=len(own),
        failed_calls=sum(1 for call in own if call.failure),
    )


@dataclass(frozen=True)
class Figures:
    """Outcomes of a set of trajectories. Rewards are None where nothing was rewarded."""

    initial: int
    branches: int
    mean: float | None
    """Mean reward of the initial rollouts."""
    branch_mean: float | None
    spread: float
    """Standard deviation (population) of all rewards."""
    correct: int
    branch_correct: int
    rescued: int
    """Right branches of wrong origins."""
    lost: int
    """Wrong branches of right origins."""
    stayed_right: int
    stayed_wrong: int
    failed: int
    tokens: int
    calls: int
    failed_calls: int

    @property
    def telling(self) -> tuple[bool, bool, float, int]:
        """How much there is to see, for sorting: a branch that changed the outcome, any branch, spread of rewards."""
        return self.rescued + self.lost > 0, self.branches > 0, self.spread, self.rescued

    def json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def figures(rows: Sequence[Brief]) -> Figures:
    """Sum up trajectories; a branch counts as changed only against an origin that is among them."""
    initial = [row for row in rows if row.origin is None]
    branches = [row for row in rows if row.origin is not None]
    right = {row.uid: row.correct for row in rows}
    turns = [(right[row.origin], row.correct) for row in branches if row.origin in right]
    rewards = _rewards(rows)
    return Figures(
        initial=len(initial),
        branches=len(branches),
        mean=_mean(_rewards(initial)),
        branch_mean=_mean(_rewards(branches)),
        spread=statistics.pstdev(rewards) if rewards else 0.0,
        correct=sum(row.correct for row in initial),
        branch_correct=sum(row.correct for row in branches),
        rescued=turns.count((False, True)),
        lost=turns.count((True, False)),
        stayed_right=turns.count((True, True)),
        stayed_wrong=turns.count((False, False)),
        failed=sum(row.failed for row in rows),
        tokens=sum(row.tokens for row in rows),
        calls=sum(row.calls for row in rows),
        failed_calls=sum(row.failed_calls for row in rows),
    )


def _rewards(rows: Iterable[Brief]) -> list[float]:
    return [row.reward for row in rows if row.reward is not None]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def choose_prompts(found: dict[str, Figures], count: int) -> list[str]:
    """At most `count` prompts, the most telling first.

    Two thirds are the most telling ones; the rest is spread evenly over the others in the order of the dump, so that
    the ordinary is seen beside the telling.
    """
    ranked = sorted(found, key=lambda group: found[group].telling, reverse=True)
    if len(ranked) <= count:
        return ranked
    top = math.ceil(count * 2 / 3)
    others = [group for group in found if group not in set(ranked[:top])]
    places = [place * len(others) // (count - top) for place in range(count - top)]
    chosen = {*ranked[:top], *(others[place] for place in places)}
    return [group for group in ranked if group in chosen]
