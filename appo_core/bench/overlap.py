"""Overlap of generation and tools: the runner against a lock-step loop, and against an engine that never waits."""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from appo_core.bench.lockstep import run_lockstep
from appo_core.bench.table import Figure
from appo_core.bench.turns import SlowTool, TurnsEngine, Work, latency, starts
from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine
from appo_core.rollout.loop import request_seed
from appo_core.rollout.runner import RolloutRunner, trajectory_seed
from appo_core.rollout.types import Finish, Trajectory

FULL = 0.85
"""Share of the engine's own rate at which it counts as full."""
PROMPT_TOKENS = 512


@dataclass(frozen=True)
class Bench:
    """An engine under measurement and the work for it."""

    engine: Engine
    codec: Codec
    questions: Sequence[str]
    work: Work
    slots: int
    """Requests that the engine runs at a time."""
    scale: float = 1.0
    """Of the tools' latencies; 0: tools answer at once."""

    def limits(self) -> LoopLimits:
        """Room for all the work."""
        room = self.work.response_tokens
        return LoopLimits(max_prompt_tokens=PROMPT_TOKENS, max_response_tokens=room, call_limit=self.work.turns)

    def engine_for(self, trajectories: Sequence[Trajectory]) -> TurnsEngine:
        """The engine, prepared for these trajectories."""
        engine = TurnsEngine(self.engine, self.codec, self.work)
        engine.expect(trajectories)
        return engine

    def runner(self, engine: TurnsEngine, in_flight: int) -> RolloutRunner:
        """The runner that training uses."""
        tool = SlowTool(self.scale)
        return RolloutRunner(
            engine=engine,
            tools={tool.name: tool},
            codec=self.codec,
            limits=self.limits(),
            sampling=SamplingSettings(),
            max_in_flight=in_flight,
            seed=self.work.seed,
        )


async def against_lockstep(bench: Bench, *, batches: int, seeds: int, goal: str) -> list[Figure]:
    """Tokens per second of both loops over the same trajectories, summed over `seeds` draws of work and latencies.

    `batches` times as many trajectories as the engine has slots: the runner lets the next one in whenever one ends, the
    lock-step loop takes batch after batch.
    """
    seconds, tokens = {"runner": 0.0, "lock-step loop": 0.0}, {"runner": 0, "lock-step loop": 0}
    waits = {"runner": 0.0, "lock-step loop": 0.0}
    for seed in range(seeds):
        one = replace(bench, work=replace(bench.work, seed=seed))
        todo = starts(bench.codec, bench.questions, bench.slots * batches)
        for name in seconds:
            engine = one.engine_for(todo)
            began = time.perf_counter()
            run = one.runner(engine, bench.slots).run(todo) if name == "runner" else _lockstep(one, engine, todo)
            _require_whole(await run)
            seconds[name] += time.perf_counter() - began
            tokens[name] += engine.tokens
        waits = {name: waits[name] + more for name, more in zip(waits, waits_alone(one, todo), strict=True)}
    rates = {name: tokens[name] / seconds[name] for name in seconds}
    figures = [Figure(name, rate, "tokens/s") for name, rate in rates.items()]
    figures.append(Figure("runner / lock-step loop", rates["runner"] / rates["lock-step loop"], "x", goal))
    bound = waits["lock-step loop"] / waits["runner"]
    return [*figures, Figure("the same if generation took no time", bound, "x")]


def waits_alone(bench: Bench, todo: Sequence[Trajectory]) -> tuple[float, float]:
    """Seconds that the unscaled latencies alone would take the runner, and the lock-step loop."""
    work = bench.work
    calls = [
        [latency(str(request_seed(trajectory_seed(work.seed, one.uid), turn))) for turn in range(work.turns - 1)]
        for one in todo
    ]
    places = [0.0] * bench.slots
    for own in calls:
        heapq.heappushpop(places, places[0] + sum(own))
    batches = [calls[first : first + bench.slots] for first in range(0, len(calls), bench.slots)]
    rounds = sum(max(own[turn] for own in batch) for batch in batches for turn in range(work.turns - 1))
    return max(places), rounds


async def _lockstep(bench: Bench, engine: TurnsEngine, todo: Sequence[Trajectory]) -> list[Trajectory]:
    tool, done = SlowTool(bench.scale), []
    for first in range(0, len(todo), bench.slots):
        done += await run_lockstep(
            todo[first : first + bench.slots],
            engine=engine,
            tools={tool.name: tool},
            codec=bench.codec,
            limits=bench.limits(),
            sampling=SamplingSettings(),
            seed=bench.work.seed,
        )
    return done


def _require_whole(done: Sequence[Trajectory]) -> None:
    """A trajectory that failed has done less work: a figure with one in it would flatter."""
    failed = [one.failure for one in done if one.finish is Finish.FAILED]
    if failed:
        raise RuntimeError(f"{len(failed)} trajectories failed, first: {failed[0]}")


async def steady_rate(bench: Bench, in_flight: int, rounds: int, name: str) -> float:
    """Tokens per second while the bound of trajectories in flight is reached: behind the first ends, before starts run
    out. What is still running then is cancelled."""
    todo = starts(bench.codec, bench.questions, in_flight * rounds, name)
    engine = bench.engine_for(todo)
    ends: list[float] = []
    dry = asyncio.Event()

    def draw() -> Iterator[Trajectory]:
        yield from todo
        dry.set()

    def ended(one: Trajectory) -> None:
        _require_whole([one])
        ends.append(time.perf_counter())

    running = asyncio.create_task(bench.runner(engine, in_flight).run(draw(), ended))
    waiting = asyncio.create_task(dry.wait())
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    until = time.perf_counter()
    for task in (running, waiting):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    # The first requests all end at once: the window begins when trajectories have come apart.
    since = ends[min(in_flight // 2, len(ends) - 1)]
    return sum(tokens for when, tokens in engine.events if since < when <= until) / (until - since)


async def filling_the_engine(bench: Bench, *, multiples: Sequence[int], rounds: int, repeats: int) -> list[Figure]:
    """The engine's rate with tools, by trajectories in flight, over its rate with the same requests and no waits."""
    work, slots = bench.work, bench.slots
    straight = replace(bench, work=replace(work, turns=1, segment=work.turns * work.segment), scale=0.0)
    await steady_rate(straight, slots, rounds, "warm-up-")
    rates: dict[str, list[float]] = {}
    for repeat in range(repeats):
        one = {"straight": (straight, slots), "no waits": (replace(bench, scale=0.0), slots)}
        one |= {f"x{multiple}": (bench, multiple * slots) for multiple in multiples}
        for name, (what, in_flight) in one.items():
            rate = await steady_rate(what, in_flight, rounds, f"{name}-{repeat}-")
            rates.setdefault(name, []).append(rate)
    middle = {name: median(values) for name, values in rates.items()}
    return _filling_figures(middle, slots, multiples)


def _filling_figures(rates: dict[str, float], slots: int, multiples: Sequence[int]) -> list[Figure]:
    shares = {multiple: rates[f"x{multiple}"] / rates["no waits"] for multiple in multiples}
    enough = next((multiple for multiple, share in shares.items() if share >= FULL), 0)
    figures = [
        Figure("engine slots", slots, "requests"),
        Figure("engine alone, one request per trajectory", rates["straight"], "tokens/s"),
        Figure("engine alone, same requests, no waits", rates["no waits"], "tokens/s"),
    ]
    figures += [
        Figure(f"with tools, {multiple * slots} in flight / no waits", share, "of 1", ">= 0.85 when full")
        for multiple, share in shares.items()
    ]
    return [*figures, Figure("in flight that fill the engine (0: none did)", enough * slots, "trajectories")]
