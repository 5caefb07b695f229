"""Many trajectories at once, each its own coroutine; nothing waits for a batch."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any
from zlib import crc32

from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine, Generation
from appo_core.rollout.forks import Forks
from appo_core.rollout.loop import run_trajectory
from appo_core.rollout.types import Trajectory
from appo_core.tools.base import Tool


class RolloutRunner:
    """Runs trajectories through one engine, at most `max_in_flight` at a time over all calls of `run`."""

    def __init__(
        self,
        *,
        engine: Engine,
        tools: Mapping[str, Tool],
        codec: Codec,
        limits: LoopLimits,
        sampling: SamplingSettings,
        max_in_flight: int = 256,
        seed: int | None = None,
    ) -> None:
        self.engine = engine
        self.tools = tools
        self.codec = codec
        self.limits = limits
        self.sampling = sampling
        self.seed = seed
        self._slots = asyncio.Semaphore(max_in_flight)

    async def run(
        self,
        starts: Iterable[Trajectory],
        on_done: Callable[[Trajectory], None] | None = None,
        *,
        sampling: SamplingSettings | None = None,
        seed: int | None = None,
        forks: Forks | None = None,
    ) -> list[Trajectory]:
        """Run all `starts`, drawn lazily, and return them in their order; `on_done` gets each as it ends.

        `forks` may start further trajectories, which stand behind the others, sorted by uid.

        `sampling` and `seed` override the runner's own. With a seed, a trajectory's own is derived from it and from
        the trajectory's uid, so it does not depend on the order of arrival. Cancelling cancels every trajectory; the
        first unexpected error cancels the rest and is raised.
        """
        base = self.seed if seed is None else seed
        given: list[asyncio.Task[Trajectory]] = []
        forked: list[asyncio.Task[Trajectory]] = []
        try:
            async with asyncio.TaskGroup() as group:

                def one(start: Trajectory) -> Coroutine[Any, Any, Trajectory]:
                    if forks is not None:
                        forks.begun(start)
                    return self._one(start, sampling or self.sampling, base, on_done, forks, fork)

                def fork(starts: Iterable[Trajectory]) -> None:
                    forked.extend(group.create_task(self._in_slot(one(start))) for start in starts)

                for start in starts:
                    await self._slots.acquire()
                    task = group.create_task(one(start))
                    task.add_done_callback(lambda _: self._slots.release())
                    given.append(task)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return [task.result() for task in given] + sorted((task.result() for task in forked), key=lambda done: done.uid)

    async def _in_slot(self, trajectory: Coroutine[Any, Any, Trajectory]) -> Trajectory:
        async with self._slots:
            return await trajectory

    async def _one(
        self,
        start: Trajectory,
        sampling: SamplingSettings,
        seed: int | None,
        on_done: Callable[[Trajectory], None] | None,
        forks: Forks | None,
        fork: Callable[[Iterable[Trajectory]], None],
    ) -> Trajectory:
        def on_call(running: Trajectory, made: Generation) -> None:
            if forks is not None:
                fork(forks.after_call(running, made))

        done = await run_trajectory(
            start,
            engine=self.engine,
            tools=self.tools,
            codec=self.codec,
            limits=self.limits,
            sampling=sampling,
            seed=None if seed is None else trajectory_seed(seed, start.uid),
            on_call=on_call,
            entropy_tokens=0 if forks is None else forks.entropy_tokens,
        )
        if on_done is not None:
            on_done(done)
        if forks is not None:
            fork(forks.after_end(done))
        return done


def trajectory_seed(seed: int, uid: str) -> int:
    """A seed of its own for the trajectory `uid`; the same in every process."""
    return crc32(f"{seed}/{uid}".encode())
