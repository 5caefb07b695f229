"""The loop that training frameworks commonly have: all generate, all wait for the slowest tool, repeat."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine, Generation, SamplingParams
from appo_core.rollout.inject import result_ids
from appo_core.rollout.loop import request_seed
from appo_core.rollout.protocol import find_request, stop_string
from appo_core.rollout.runner import trajectory_seed
from appo_core.rollout.types import Trajectory
from appo_core.tools.base import Tool


async def run_lockstep(
    starts: Sequence[Trajectory],
    *,
    engine: Engine,
    tools: Mapping[str, Tool],
    codec: Codec,
    limits: LoopLimits,
    sampling: SamplingSettings,
    seed: int,
) -> list[Trajectory]:
    """Run `starts` in rounds, with the seeds the runner would give; the same protocol, ids and injected results."""
    done = [replace(start, response_ids=list(start.response_ids), mask=list(start.mask)) for start in starts]
    running, turn = list(done), 0
    while running:
        generations = await asyncio.gather(
            *(_generate(one, engine, tools, limits, sampling, seed, turn) for one in running)
        )
        for one, generation in zip(running, generations, strict=True):
            _append(one, generation.token_ids, 1)
        calling = [one for one, made in zip(running, generations, strict=True) if made.finish == "stop"]
        await asyncio.gather(*(_answer(one, tools, codec, limits) for one in calling))
        running, turn = calling, turn + 1
    return done


async def _generate(
    one: Trajectory,
    engine: Engine,
    tools: Mapping[str, Tool],
    limits: LoopLimits,
    sampling: SamplingSettings,
    seed: int,
    turn: int,
) -> Generation:
    params = SamplingParams(
        max_tokens=limits.max_response_tokens - len(one),
        stop=tuple(stop_string(name) for name in tools),
        seed=request_seed(trajectory_seed(seed, one.uid), turn),
        **sampling.model_dump(),
    )
    return await engine.generate(one.prompt_ids + one.response_ids, params)


async def _answer(one: Trajectory, tools: Mapping[str, Tool], codec: Codec, limits: LoopLimits) -> None:
    segment = len(one.mask) - one.mask[::-1].index(0) if 0 in one.mask else 0
    request = find_request(codec.decode(one.response_ids[segment:]), tools)
    if request is not None:
        outcome = await tools[request.tool].call(request.argument)
        ids = result_ids(codec, outcome.text, limits.max_result_tokens)
        _append(one, ids, 0)


def _append(one: Trajectory, ids: list[int], mask: int) -> None:
    one.response_ids += ids
    one.mask += [mask] * len(ids)
