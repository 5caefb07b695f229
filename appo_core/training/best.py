"""The best checkpoint so far, by a validation metric."""

from collections.abc import Mapping
from dataclasses import dataclass

from appo_core.jobs.contract import JobError


@dataclass(frozen=True)
class Best:
    """The step with the highest value of `metric`; of equal values the earlier step."""

    metric: str
    step: int
    value: float


def better(best: Best | None, metric: str, step: int, metrics: Mapping[str, float]) -> Best | None:
    """The new best when `metrics` (of the validation behind `step`) beat `best`, else None.

    A best by another metric, of a resumed run whose `rl.keep_best` has changed, is beaten by any value; NaN beats none.

    Raises:
        JobError: `metric` is not among `metrics`.
    """
    if metric not in metrics:
        known = ", ".join(name for name in sorted(metrics) if name.startswith("validation/"))
        raise JobError(f"rl.keep_best: there is no metric {metric!r}", remedy=f"name one of {known}")
    value = metrics[metric]
    if value != value:
        return None
    old = best.value if best is not None and best.metric == metric else float("-inf")
    return Best(metric, step, value) if value > old else None
