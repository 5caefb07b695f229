"""One trajectory as one coroutine: generate, call a tool, inject its result, go on.

Ids are kept exactly as sampled. An injected result is encoded once and gets mask 0 and behaviour log-prob 0.0, so ids,
mask and log-probs stay aligned. Decoding covers only what was written since the last result: linear in total.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine, EngineError, Generation, SamplingParams
from appo_core.rollout.inject import result_ids
from appo_core.rollout.protocol import Request, find_request, limit_message, split_stops, stop_string
from appo_core.rollout.types import Finish, ToolCall, Trajectory
from appo_core.tools.base import Tool, ToolOutcome

ENGINE_ATTEMPTS = 3
BACKOFF_S = 0.2
"""Wait before the second attempt; doubles with each further one."""
_SEED_STRIDE = 1_000_003


class _Unusable(Exception):
    """The engine or a tool cannot be used; the message becomes the trajectory's failure."""


async def run_trajectory(
    start: Trajectory,
    *,
    engine: Engine,
    tools: Mapping[str, Tool],
    codec: Codec,
    limits: LoopLimits,
    sampling: SamplingSettings,
    seed: int | None = None,
    on_call: Callable[[Trajectory, Generation], None] | None = None,
    entropy_tokens: int = 0,
) -> Trajectory:
    """Run `start` (a bare prompt, or a branch with a prefix) to its end; `start` itself is left as it was.

    `tools` maps a tag to its tool. Ends at end-of-sequence, at `limits.max_response_tokens` (injected tokens included),
    or with `Finish.FAILED` and the cause in `failure` when the engine or a tool is unusable or the prompt is too long.
    `on_call` sees the running trajectory behind each injected result, with the generation that made the call, whose
    first `entropy_tokens` entropies are asked for.
    """
    loop = _Loop(start, engine, tools, codec, limits, sampling, seed, on_call, entropy_tokens)
    try:
        await loop.run()
    except _Unusable as cause:
        loop.trajectory.finish = Finish.FAILED
        loop.trajectory.failure = str(cause)
    return loop.trajectory


class _Loop:
    """The state of one running trajectory."""

    def __init__(
        self,
        start: Trajectory,
        engine: Engine,
        tools: Mapping[str, Tool],
        codec: Codec,
        limits: LoopLimits,
        sampling: SamplingSettings,
        seed: int | None,
        on_call: Callable[[Trajectory, Generation], None] | None,
        entropy_tokens: int,
    ) -> None:
        self.trajectory = replace(
            start,
            response_ids=list(start.response_ids),
            mask=list(start.mask),
            behaviour_logprobs=list(start.behaviour_logprobs),
            tool_calls=list(start.tool_calls),
            finish=Finish.LENGTH,
            failure=None,
        )
        self._engine = engine
        self._tools = tools
        self._codec = codec
        self._limits = limits
        self._sampling = sampling
        self._seed = seed
        self._on_call = on_call
        self._entropy_tokens = entropy_tokens
        self._requests = 0
        self._stops = tuple(stop_string(name) for name in tools)
        self._segment = _last_injected(start.mask) + 1
        """Response index where the text since the last result begins."""

    @property
    def _room(self) -> int:
        return self._limits.max_response_tokens - len(self.trajectory)

    async def run(self) -> None:
        """Drive the trajectory until it ends."""
        if len(self.trajectory.prompt_ids) > self._limits.max_prompt_tokens:
            raise _Unusable(
                f"prompt has {len(self.trajectory.prompt_ids)} tokens, above limits.max_prompt_tokens "
                f"({self._limits.max_prompt_tokens}); raise the limit or drop the row"
            )
        self._repeat_pending_result()
        while self._room > 0:
            generation = await self._generate()
            self._append(generation.token_ids, 1, generation.logprobs)
            if generation.finish != "stop":
                self.trajectory.finish = Finish.EOS if generation.finish == "eos" else Finish.LENGTH
                return
            if await self._answer() and self._on_call is not None and self._room > 0:
                self._on_call(self.trajectory, generation)

    def _repeat_pending_result(self) -> None:
        """Give a branch that starts right behind a call the result its origin got: the call is made and counted."""
        calls = self.trajectory.tool_calls
        if calls and calls[-1].end == len(self.trajectory):
            self._inject(calls[-1].output)

    async def _generate(self) -> Generation:
        """The next generation call; tried again on engine errors."""
        trajectory = self.trajectory
        prompt = trajectory.prompt_ids + trajectory.response_ids
        params = self._params()
        began = time.perf_counter()
        for attempt in range(ENGINE_ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))
            try:
                generation = _checked(await self._engine.generate(prompt, params), params)
                break
            except EngineError as error:
                cause = error
        else:
            raise _Unusable(f"engine: {cause}") from cause
        trajectory.generate_seconds += time.perf_counter() - began
        trajectory.weights_version = generation.weights_version
        trajectory.cached_tokens += generation.cached_tokens
        trajectory.prompt_tokens_sent += len(prompt)
        return generation

    def _params(self) -> SamplingParams:
        """Sampling of the next call: all the room that is left, and a seed of its own."""
        tail = self._codec.decode(self.trajectory.response_ids[self._segment :]) if self._segment_open() else ""
        seed = None if self._seed is None else request_seed(self._seed, self._requests)
        self._requests += 1
        return SamplingParams(
            max_tokens=self._room,
            stop=self._stops + split_stops(tail, self._stops),
            seed=seed,
            entropy_tokens=self._entropy_tokens,
            **self._sampling.model_dump(),
        )

    def _segment_open(self) -> bool:
        return self._segment < len(self.trajectory)

    async def _answer(self) -> bool:
        """Answer the call the model has just made, if the room allows; a stop that ends no call is passed over."""
        request = find_request(self._codec.decode(self.trajectory.response_ids[self._segment :]), self._tools)
        if request is None or self._room <= 0:
            return False
        used = sum(not call.refused for call in self.trajectory.tool_calls)
        refused = used >= self._limits.call_limit
        if refused:
            outcome = ToolOutcome(limit_message(self._limits.call_limit))
        elif request.problem is not None:
            outcome = ToolOutcome(request.problem)
        else:
            outcome = await self._call(request)
        self.trajectory.tool_calls.append(
            ToolCall(
                tool=request.tool,
                argument=request.argument,
                output=outcome.text,
                failure=outcome.failure,
                refused=refused,
                end=len(self.trajectory),
                seconds=outcome.seconds,
                malformed=request.problem is not None,
            )
        )
        self._inject(outcome.text)
        return True

    async def _call(self, request: Request) -> ToolOutcome:
        """Run the tool; only a tool that is itself unusable raises."""
        began = time.perf_counter()
        try:
            outcome = await self._tools[request.tool].call(request.argument)
        except Exception as error:
            raise _Unusable(f"tool {request.tool}: {type(error).__name__}: {error}") from error
        self.trajectory.tool_seconds += time.perf_counter() - began
        return outcome

    def _inject(self, output: str) -> None:
        """Append a result with mask 0, within the room that is left; a new segment begins behind it."""
        ids = result_ids(self._codec, output, self._limits.max_result_tokens)[: self._room]
        self._append(ids, 0, [0.0] * len(ids))
        self._segment = len(self.trajectory)

    def _append(self, ids: list[int], mask: int, logprobs: list[float]) -> None:
        self.trajectory.response_ids += ids
        self.trajectory.mask += [mask] * len(ids)
        self.trajectory.behaviour_logprobs += logprobs


def request_seed(seed: int, request: int) -> int:
    """The seed of a trajectory's generation call number `request`, counted from 0, under the trajectory's own seed."""
    return (seed * _SEED_STRIDE + request) % 2**31


def _last_injected(mask: list[int]) -> int:
    """Index of the last injected token, -1 without one."""
    return next((index for index in range(len(mask) - 1, -1, -1) if mask[index] == 0), -1)


def _checked(generation: Generation, params: SamplingParams) -> Generation:
    """`generation`, when it can be appended: some tokens, not too many, one log-prob each; else `EngineError`."""
    tokens, logprobs = len(generation.token_ids), len(generation.logprobs)
    if not 0 < tokens <= params.max_tokens or logprobs != tokens:
        raise EngineError(
            f"gave {tokens} tokens and {logprobs} log-probs where 1 to {params.max_tokens} were asked for"
        )
    return generation
