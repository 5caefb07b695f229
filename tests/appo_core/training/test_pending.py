"""Stored rollouts come back whole, on the ranks that would have sampled them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from appo_core.rewards import RewardResult
from appo_core.rollout.types import Finish, ToolCall, Trajectory
from appo_core.training.collect import Collected, prompt_starts, questions_by_group
from appo_core.training.experience import Scored
from appo_core.training.pending import load_pending, pending_lines
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks
from tests.appo_core.training.made import trajectory

PROMPTS = [Prompt(f"train/{number}-x", "q", str(number), "math", [number, 7]) for number in range(8)]
STEP = [PROMPTS[index] for index in (5, 1, 2, 0)]


def ranks(rank: int, world: int) -> Ranks:
    return Ranks(rank, world, torch.device("cpu"))


def sampled(rank: int, world: int) -> Collected:
    """What a rank would hold: two rollouts a prompt, of which the last one failed."""
    questions = questions_by_group(STEP[rank::world], ranks(rank, world))
    made = [fill(start) for start in prompt_starts(questions, 2, 3)]
    made[-1] = replace(made[-1], finish=Finish.FAILED, failure="engine: gone")
    rows = [Scored(each, reward(each)) for each in made[:-1]]
    return Collected(rows, 1, made, questions)


def fill(start: Trajectory) -> Trajectory:
    """Awkward floats, an injected result, text of several lines."""
    made = trajectory([1, 0, 1], len(start.uid))
    call = ToolCall("python", "print(1)\n", "1\n\u2028ü", None, refused=False, end=1, seconds=0.1 + 0.2)
    return replace(
        made, uid=start.uid, group=start.group, prompt_ids=start.prompt_ids, tool_calls=[call],
        behaviour_logprobs=[-1 / 3, 0.0, -1e-17],
    )  # fmt: skip


def reward(row: Trajectory) -> RewardResult:
    return RewardResult(len(row.uid) / 7, "right", None, 1 / 3, True)


def store(path: Path, parts: list[Collected]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in pending_lines(parts))


@pytest.mark.parametrize("world", [1, 2])
def test_every_rank_gets_back_what_it_had(tmp_path: Path, world: int) -> None:
    parts = [sampled(rank, world) for rank in range(world)]
    store(tmp_path / "p.jsonl", parts)
    loaded = [load_pending(tmp_path / "p.jsonl", PROMPTS, ranks(rank, world)) for rank in range(world)]
    for part, back in zip(parts, loaded, strict=True):
        assert replace(back, left_out=part.left_out) == part
        assert list(back.questions) == list(part.questions)
    assert sum(back.left_out for back in loaded) == world


@pytest.mark.parametrize(("saved", "now"), [(2, 1), (1, 2), (2, 4), (4, 2)])
def test_another_number_of_ranks_shares_them_anew(tmp_path: Path, saved: int, now: int) -> None:
    parts = [sampled(rank, saved) for rank in range(saved)]
    store(tmp_path / "p.jsonl", parts)
    by_uid = {each.uid: each for part in parts for each in part.trajectories}
    rewards = {row.trajectory.uid: row.reward for part in parts for row in part.rows}
    for rank in range(now):
        back = load_pending(tmp_path / "p.jsonl", PROMPTS, ranks(rank, now))
        assert list(back.questions.items()) == list(questions_by_group(STEP[rank::now], ranks(rank, now)).items())
        assert {each.uid for each in back.trajectories} == {start.uid for start in prompt_starts(back.questions, 2, 3)}
        assert all(each == by_uid.pop(each.uid) for each in back.trajectories)
        assert all(row.reward == rewards.pop(row.trajectory.uid) for row in back.rows)
    assert not by_uid
    assert not rewards
