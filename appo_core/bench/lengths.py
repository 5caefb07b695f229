"""Trajectories with the lengths of real ones."""

import random
from collections.abc import Sequence

from appo_core.rollout.types import Trajectory

Shape = tuple[int, int, int]
"""Tokens of the prompt, of the response, and of the response's generated part."""

DEMO: tuple[tuple[Shape, int], ...] = (
    ((48, 43, 34), 488), ((52, 70, 42), 333), ((44, 45, 26), 111), ((43, 45, 26), 98), ((44, 41, 24), 95),
    ((52, 45, 26), 84), ((43, 41, 24), 84), ((52, 43, 34), 67), ((52, 20, 20), 45), ((44, 18, 18), 33),
    ((48, 20, 20), 33), ((43, 18, 18), 11), ((48, 104, 66), 12), ((52, 128, 90), 20), ((52, 86, 34), 12),
)  # fmt: skip
"""Shapes in the demo's RL run (1,536 initial rollouts, 16 steps) and how often each came; the last three stand for the
rare ones, up to the limit of 128 tokens."""


def demo_shapes(count: int, seed: int = 0) -> list[Shape]:
    """Seeded draws from the demo's distribution."""
    shapes, weights = zip(*DEMO, strict=True)
    return random.Random(seed).choices(shapes, weights, k=count)


def long_shapes(count: int, limit: int, seed: int = 0) -> list[Shape]:
    """As of a reasoning model: log-normal responses with median limit / 6, cut at `limit`, a third injected."""
    rng = random.Random(seed)
    lengths = [min(limit, max(8, round(limit / 6 * rng.lognormvariate(0, 0.9)))) for _ in range(count)]
    return [(max(4, limit // 24), length, length - length // 3) for length in lengths]


def trajectories(shapes: Sequence[Shape], vocabulary: int) -> list[Trajectory]:
    """Rows of seeded ids with these shapes; the injected part stands in the middle."""
    rng = random.Random(1)
    return [_trajectory(number, shape, vocabulary, rng) for number, shape in enumerate(shapes)]


def _trajectory(number: int, shape: Shape, vocabulary: int, rng: random.Random) -> Trajectory:
    prompt, response, generated = shape
    head = generated // 2
    mask = [1] * head + [0] * (response - generated) + [1] * (generated - head)
    return Trajectory(
        uid=f"r{number}",
        group=f"g{number // 4}",
        prompt_ids=rng.choices(range(vocabulary), k=prompt),
        response_ids=rng.choices(range(vocabulary), k=response),
        mask=mask,
        behaviour_logprobs=[-7.0 * kept for kept in mask],
    )


def tokens(rows: Sequence[Trajectory]) -> int:
    """Prompt and response tokens of all rows."""
    return sum(len(row.prompt_ids) + len(row) for row in rows)
