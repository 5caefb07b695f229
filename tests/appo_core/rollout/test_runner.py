"""Many trajectories: order, bound, callbacks, cancelling."""

import asyncio
from collections.abc import Sequence

import pytest

from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Generation, SamplingParams
from appo_core.rollout.runner import RolloutRunner, trajectory_seed
from appo_core.rollout.types import Finish, Trajectory

from .scripted import ScriptedEngine, fresh


class GatedEngine(ScriptedEngine):
    """Holds every request until its gate opens, and counts those it holds."""

    def __init__(self, codec: Codec) -> None:
        super().__init__(codec, [])
        self.gate = asyncio.Event()
        self.full = asyncio.Event()
        self.held = 0
        self.most = 0
        self.cancelled = 0

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        self.held += 1
        self.most = max(self.most, self.held)
        if self.held == 4:
            self.full.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.held -= 1
        return self._write(str(sampling.seed), sampling)


def _runner(codec: Codec, engine: ScriptedEngine, max_in_flight: int = 4) -> RolloutRunner:
    limits = LoopLimits(max_prompt_tokens=500, max_response_tokens=100)
    return RolloutRunner(
        engine=engine,
        tools={},
        codec=codec,
        limits=limits,
        sampling=SamplingSettings(),
        max_in_flight=max_in_flight,
        seed=3,
    )


def _starts(codec: Codec, count: int) -> list[Trajectory]:
    return [fresh(codec, uid=f"t{index}") for index in range(count)]


async def test_results_come_in_order_and_the_bound_holds(codec: Codec) -> None:
    engine = GatedEngine(codec)
    seen: list[str] = []
    running = asyncio.create_task(
        _runner(codec, engine).run(_starts(codec, 10), on_done=lambda done: seen.append(done.uid))
    )
    await engine.full.wait()
    engine.gate.set()
    done = await running
    assert engine.most == 4
    assert [trajectory.uid for trajectory in done] == [f"t{index}" for index in range(10)]
    assert sorted(seen) == sorted(trajectory.uid for trajectory in done)
    assert all(trajectory.finish is Finish.EOS for trajectory in done)
    assert len({tuple(trajectory.response_ids) for trajectory in done}) == 10


async def test_cancelling_reaches_every_request(codec: Codec) -> None:
    engine = GatedEngine(codec)
    running = asyncio.create_task(_runner(codec, engine).run(_starts(codec, 10)))
    await engine.full.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert engine.cancelled == 4


async def test_error_of_the_callback_is_raised_as_it_is(codec: Codec) -> None:
    engine = GatedEngine(codec)
    engine.gate.set()

    def fail(_: Trajectory) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await _runner(codec, engine).run(_starts(codec, 3), on_done=fail)


def test_seeds_differ_by_trajectory_and_are_stable() -> None:
    assert trajectory_seed(1, "a") == trajectory_seed(1, "a")
    assert len({trajectory_seed(seed, uid) for seed in (1, 2) for uid in ("a", "b")}) == 4
