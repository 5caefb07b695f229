"""ARPO: which rollouts branch behind a tool call, and that prompts are filled to n exactly."""

import asyncio
import math

import pytest

from appo_core.config.algorithm import AlgorithmSettings
from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.methods import method_class
from appo_core.methods.arpo import ArpoOptions, ToolCallForks
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Generation
from appo_core.rollout.runner import RolloutRunner
from appo_core.rollout.types import ToolCall, Trajectory
from tests.appo_core.rollout.scripted import ScriptedEngine, ScriptedTool

VOCABULARY = 1000
CALL = "<search> it </search>"
END = "<answer> 1 </answer>"


def generation(entropy: float) -> Generation:
    """A segment whose entropies sum to `entropy` of ln(vocabulary)."""
    return Generation([1], [-1.0], "stop", entropies=[entropy * math.log(VOCABULARY) / 2] * 2)


def running(uid: str = "0/0/a/0", calls: int = 1) -> Trajectory:
    made = [ToolCall("search", "q", "r", None, refused=False, end=2, seconds=0.0)] * calls
    return Trajectory(uid, "0/a", [1], [2, 3, 4], [1, 1, 0], [-1.0, -1.0, 0.0], tool_calls=made)


def branched(options: ArpoOptions, first: float, second: float, count: int = 400) -> float:
    """Share of rollouts that branch behind their second call, made at entropies `first` and `second`."""
    hits = 0
    for number in range(count):
        forks = ToolCallForks(options, 99, seed=1, vocabulary=VOCABULARY)
        row = running(f"0/0/a/{number}")
        forks.begun(row)
        forks.after_call(row, generation(first))
        row = running(f"0/0/a/{number}", calls=2)
        hits += len(forks.after_call(row, generation(second)))
    return hits / count


def test_the_chance_rises_with_entropy() -> None:
    """U - w (h - h0) <= p: probability p + w (h - h0)."""
    options = ArpoOptions()
    assert branched(options, 1.0, 1.0) == pytest.approx(0.5, abs=0.08)
    assert branched(options, 1.0, 2.5) == pytest.approx(0.8, abs=0.08)
    assert branched(options, 2.0, 1.0) == pytest.approx(0.3, abs=0.08)
    assert branched(ArpoOptions(branch_probability=0.0), 3.0, 0.0) == 0.0


def test_the_first_entropy_is_the_rollout_s_own() -> None:
    """The published code remembers it by row number, for rollouts of later batches too."""
    forks = ToolCallForks(ArpoOptions(branch_probability=0.0, entropy_weight=10.0), 99, seed=1, vocabulary=VOCABULARY)
    for uid, entropy in (("x/0", 0.1), ("y/0", 5.0)):
        forks.begun(running(uid))
        assert forks.after_call(running(uid), generation(entropy)) == []


def test_a_branch_copies_everything_so_far_and_fills_free_slots_only() -> None:
    options = ArpoOptions(branch_probability=1.0, beam_size=4)
    forks = ToolCallForks(options, 3, seed=1, vocabulary=VOCABULARY)
    row = running()
    forks.begun(row)
    branches = forks.after_call(row, generation(1.0))
    assert len(branches) == 2
    assert len({branch.uid for branch in branches}) == 2
    for branch in branches:
        assert branch.response_ids == row.response_ids
        assert branch.mask == row.mask
        assert branch.tool_calls == row.tool_calls
        forks.begun(branch)
    assert forks.after_call(running(calls=2), generation(1.0)) == []


def test_a_prompt_without_running_rollouts_gets_fresh_ones() -> None:
    forks = ToolCallForks(ArpoOptions(), 3, seed=1, vocabulary=VOCABULARY)
    first, second = running("0/0/a/0"), running("0/0/a/1")
    forks.begun(first)
    forks.begun(second)
    assert forks.after_end(first) == []
    (fresh,) = forks.after_end(second)
    assert (fresh.prompt_ids, fresh.response_ids, fresh.group) == ([1], [], "0/a")
    forks.begun(fresh)
    assert forks.after_end(fresh) == []


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
async def test_every_prompt_ends_with_n_rollouts(codec: Codec, probability: float) -> None:
    settings = AlgorithmSettings(
        name="arpo", rollouts_per_prompt=6, initial_rollouts=2, options={"branch_probability": probability}
    )
    engine = ScriptedEngine(codec, [CALL, CALL, END, CALL, END, CALL, END] * 20)
    runner = RolloutRunner(
        engine=engine,
        tools={"search": ScriptedTool("search", ["found"] * 100)},
        codec=codec,
        limits=LoopLimits(max_prompt_tokens=200, max_response_tokens=400),
        sampling=SamplingSettings(),
        max_in_flight=3,
        seed=4,
    )
    starts = [
        Trajectory(f"0/{group}/{n}", group, codec.prompt_ids("", "q")) for group in ("0/a", "1/b") for n in (0, 1)
    ]
    forks = method_class("arpo")(settings).forks(seed=4, vocabulary=VOCABULARY)
    done = await asyncio.wait_for(runner.run(starts, forks=forks), 60)
    assert [row.uid for row in done[:4]] == [start.uid for start in starts]
    for group in ("0/a", "1/b"):
        assert sum(row.group == group for row in done) == 6
    assert len({row.uid for row in done}) == 12
    kinds = {row.prefix is None for row in done[4:]}
    if probability == 0.0:
        assert kinds == {True}
    if probability == 1.0:
        assert False in kinds
