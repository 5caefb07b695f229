"""Work for rollout benchmarks: every trajectory makes the same number of tool calls, of seeded, heavy-tailed latency.

A model with random weights hardly ever calls a tool. So each of its segments is closed, behind the engine, with the ids
of a call of the real protocol; everything else (engine, loop, protocol, codec) is what training uses. What is generated
and how long each call takes follow from the trajectory's seed alone: two loops over the same starts do the same work.
"""

import asyncio
import math
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine, Generation, SamplingParams
from appo_core.rollout.loop import request_seed
from appo_core.rollout.runner import trajectory_seed
from appo_core.rollout.types import Trajectory
from appo_core.tools.base import ToolOutcome

if TYPE_CHECKING:
    from torch import Tensor

MEDIAN_S, P99_S = 0.2, 5.0
SIGMA = math.log(P99_S / MEDIAN_S) / 2.3263478740408408
"""Of the logarithm; the divisor is the standard normal's 99th percentile."""
TOOL = "search"


def latency(key: str) -> float:
    """Seconds of the call whose argument is `key`: log-normal with the median and 99th percentile above."""
    return MEDIAN_S * math.exp(SIGMA * random.Random(f"latency/{key}").gauss(0, 1))


@dataclass
class SlowTool:
    """Answers after the latency that its argument stands for, times `scale`."""

    scale: float = 1.0
    name: str = TOOL
    waited_s: float = 0.0

    async def call(self, argument: str) -> ToolOutcome:
        """Wait, then a short page."""
        seconds = self.scale * latency(argument)
        await asyncio.sleep(seconds)
        self.waited_s += seconds
        return ToolOutcome(f"Page 1: the value of {argument} is {len(argument)}.", seconds=seconds)

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class Work:
    """What every trajectory does: `turns` segments of at most `segment` tokens, a tool call behind all but the last."""

    turns: int
    segment: int
    seed: int = 0

    @property
    def response_tokens(self) -> int:
        """Enough room for the segments, their calls and results."""
        return self.turns * (self.segment + 96)


def starts(codec: Codec, questions: Sequence[str], count: int, name: str = "t") -> list[Trajectory]:
    """Bare prompts under a system prompt; `name` sets their uids, and so their seeds."""
    system = "Use <search> and <python>."
    return [
        Trajectory(f"{name}{number}", f"g{number}", codec.prompt_ids(system, questions[number % len(questions)]))
        for number in range(count)
    ]


@dataclass
class TurnsEngine:
    """An engine whose segments end in a tool call, except each trajectory's last. Remembers when tokens came."""

    engine: Engine
    codec: Codec
    work: Work
    turn_of: dict[int, int] = field(default_factory=dict)
    """Turn by request seed."""
    events: list[tuple[float, int]] = field(default_factory=list)
    """When a request ended, and how many tokens the engine had generated for it."""

    def expect(self, trajectories: Iterable[Trajectory]) -> None:
        """Prepare for these trajectories, which the runner gives seeds under `work.seed`."""
        for one in trajectories:
            seed = trajectory_seed(self.work.seed, one.uid)
            self.turn_of |= {request_seed(seed, turn): turn for turn in range(self.work.turns)}

    @property
    def tokens(self) -> int:
        """Tokens the engine has generated."""
        return sum(tokens for _, tokens in self.events)

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        """One segment; a segment that the model ends early is closed with a call all the same."""
        assert sampling.seed is not None  # noqa: S101 - the runner of a benchmark has a seed
        made = await self.engine.generate(prompt_ids, replace(sampling, max_tokens=self.work.segment))
        self.events.append((time.perf_counter(), len(made.token_ids)))
        if self.turn_of[sampling.seed] == self.work.turns - 1:
            return replace(made, finish="length")
        own = len(made.token_ids) - (made.finish == "eos")
        call = self.codec.encode(f" <{TOOL}> {sampling.seed} </{TOOL}>")
        logprobs = made.logprobs[:own] + [0.0] * len(call)
        return replace(made, token_ids=made.token_ids[:own] + call, logprobs=logprobs, finish="stop")

    async def update_weights(self, weights: "Iterable[tuple[str, Tensor]]", version: int) -> None:
        """Pass them on."""
        await self.engine.update_weights(weights, version)

    async def close(self) -> None:
        """End the engine."""
        await self.engine.close()
