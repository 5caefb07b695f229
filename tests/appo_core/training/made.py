"""Made-up trajectories and rewards."""

import random
from dataclasses import replace

from appo_core.rewards import RewardResult
from appo_core.rollout.types import Finish, Prefix, ToolCall, Trajectory
from appo_core.training.experience import Scored

VOCABULARY = 300


def trajectory(mask: list[int], number: int = 0, group: str = "g", prompt: int = 3) -> Trajectory:
    """Random ids under a given mask; behaviour log-probs are 0.0 where it is 0, as rollouts have them."""
    rng = random.Random(f"{number}/{mask}")
    return Trajectory(
        uid=f"{group}/{number}",
        group=group,
        prompt_ids=[rng.randrange(VOCABULARY) for _ in range(prompt)],
        response_ids=[rng.randrange(VOCABULARY) for _ in mask],
        mask=list(mask),
        behaviour_logprobs=[-6.0 + rng.uniform(-0.1, 0.1) if m else 0.0 for m in mask],
        finish=Finish.EOS,
    )


def batch(count: int, seed: int = 0, groups: int = 2) -> list[Trajectory]:
    """Trajectories of unequal length; every other one has an injected result inside."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        before, after = rng.randint(1, 6), rng.randint(1, 6)
        result = rng.randint(1, 4) if number % 2 else 0
        row = trajectory([1] * before + [0] * result + [1] * after, number, f"g{number % groups}", rng.randint(1, 5))
        if result:
            row.tool_calls = [ToolCall("search", "q", "r", None, refused=False, end=before, seconds=0.0)]
        rows.append(row)
    return rows


def scored(row: Trajectory, score: float) -> Scored:
    """A trajectory with a reward."""
    return Scored(row, RewardResult(score, "made up", "1", max(score, 0.0), score > 0))


def branch_of(origin: Trajectory, split: int, number: int = 0, score: float = 1.0) -> Trajectory:
    """A finished branch."""
    start = origin.branch(f"{origin.uid}/b{number}", split, score)
    return replace(
        start,
        response_ids=[*start.response_ids, 1, 2],
        mask=[*start.mask, 1, 1],
        behaviour_logprobs=[*start.behaviour_logprobs, -6.0, -6.0],
        prefix=Prefix(origin.uid, split, score),
    )
