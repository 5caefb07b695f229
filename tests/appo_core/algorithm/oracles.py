"""The algorithm's formulas as plain Python loops over lists: slow, obvious, independent of the tensors' code."""

import math
from collections.abc import Sequence

Row = Sequence[float]


def future_sum(x_L: Row, mask_L: Sequence[int], gamma: float) -> list[float]:
    """For every t, the sum over k >= t of gamma^(generated tokens in [t, k)) x_k over generated k; quadratic."""
    sums = []
    for start in range(len(x_L)):
        total, factor = 0.0, 1.0
        for place in range(start, len(x_L)):
            if mask_L[place]:
                total += factor * x_L[place]
                factor *= gamma
        sums.append(total)
    return sums


def backward_sum(x_L: Row, mask_L: Sequence[int], gamma: float) -> list[float]:
    """The same by the recurrence, for long rows."""
    sums, running = [0.0] * len(x_L), 0.0
    for place in reversed(range(len(x_L))):
        running = x_L[place] + gamma * running if mask_L[place] else running
        sums[place] = running
    return sums


def moments(x_L: Row, mask_L: Sequence[int]) -> tuple[float, float]:
    """Mean and population deviation over the mask."""
    kept = [x for x, m in zip(x_L, mask_L, strict=True) if m]
    if not kept:
        return 0.0, 0.0
    mean = sum(kept) / len(kept)
    return mean, math.sqrt(sum((x - mean) ** 2 for x in kept) / len(kept))


def z_scores(x_L: Row, mask_L: Sequence[int]) -> list[float]:
    """Z-scores over the mask; 0 outside it and for a constant row."""
    mean, deviation = moments(x_L, mask_L)
    constant = len({x for x, m in zip(x_L, mask_L, strict=True) if m}) <= 1
    return [0.0 if constant or not m else (x - mean) / deviation for x, m in zip(x_L, mask_L, strict=True)]


def group_z(rewards: Row, groups: Sequence[int], *, normalize: bool = True) -> list[float]:
    """Reward against its group: centred, over the population deviation; 0 in a group of equals."""
    advantages = []
    for reward, group in zip(rewards, groups, strict=True):
        mates = [r for r, g in zip(rewards, groups, strict=True) if g == group]
        mean = sum(mates) / len(mates)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in mates) / len(mates))
        if normalize:
            advantages.append((reward - mean) / deviation if len(set(mates)) > 1 else 0.0)
        else:
            advantages.append(reward - mean)
    return advantages


def policy_loss(
    logp: Row,
    old: Row,
    advantage: Row,
    mask: Sequence[int],
    *,
    b: float,
    half_life: float,
    high_only: bool,
    sieve: bool,
) -> tuple[float, list[float], list[bool]]:
    """One row's loss sum, future factors and kept tokens, token by token (clip 0.2/0.28, c 3, eps 0.2, safety 6)."""
    length = len(logp)
    delta = [max(-20.0, min(20.0, logp[t] - old[t])) if mask[t] else 0.0 for t in range(length)]
    gamma = 2.0 ** (-1.0 / half_life)
    taking_part = [1 if mask[t] and delta[t] <= math.log(3.0) else 0 for t in range(length)]
    factors, losses, beyond = [], [], 0
    for t in range(length):
        discount, future = 1.0, 0.0
        for k in range(t, length):
            future += discount * delta[k] * taking_part[k] if mask[k] else 0.0
            discount *= gamma if mask[k] else 1.0
        factor = max(1.0 if high_only else 0.8, min(1.2, math.exp(max(-20.0, min(20.0, future)))))
        if advantage[t] < 0 and math.exp(delta[t]) > 6.0:
            factor = max(0.8, min(1.0, factor))
        factors.append(factor)
        scaled, ratio = advantage[t] * (1.0 + b * factor), math.exp(delta[t])
        loss = max(-scaled * ratio, -scaled * max(0.8, min(1.28, ratio)))
        if scaled < 0:
            beyond += bool(mask[t]) and loss > -3.0 * scaled
            loss = min(-3.0 * scaled, loss)
        losses.append(loss)
    kept = [bool(m) and not (sieve and beyond > 1) for m in mask]
    return sum(loss for loss, keep in zip(losses, kept, strict=True) if keep), factors, kept
