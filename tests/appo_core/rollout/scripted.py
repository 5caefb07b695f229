"""An engine and a tool that follow a script, and what tests of the loop share."""

from collections.abc import Iterable, Sequence
from typing import Any

from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import EngineError, Generation, SamplingParams
from appo_core.rollout.types import Trajectory
from appo_core.tools.base import ToolOutcome


class ScriptedEngine:
    """Writes scripted texts token by token, as a model would: stops at stop strings, at its end and at max_tokens."""

    def __init__(self, codec: Codec, turns: Sequence[str], failures: int = 0) -> None:
        self.codec = codec
        self.turns = list(turns)
        self.failures = failures
        self.prompts: list[list[int]] = []
        self.params: list[SamplingParams] = []
        self.version = 0

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        """The next scripted turn; a turn without a stop string ends with the end-of-sequence token."""
        if self.failures:
            self.failures -= 1
            raise EngineError("connection refused")
        self.prompts.append(list(prompt_ids))
        self.params.append(sampling)
        return self._write(self.turns.pop(0), sampling)

    def _write(self, text: str, sampling: SamplingParams) -> Generation:
        full = [*self.codec.encode(text), self.codec.eos_id]
        ids: list[int] = []
        for token in full[: sampling.max_tokens]:
            ids.append(token)
            found = next((stop for stop in sampling.stop if stop in self.codec.decode(ids)), None)
            if found is not None:
                self._keep_rest(full[len(ids) : -1])
                return self._generation(ids, "stop", found)
        return self._generation(ids, "eos" if ids[-1] == self.codec.eos_id else "length", None)

    def _keep_rest(self, ids: list[int]) -> None:
        """A model that is stopped within a turn writes the rest of it when asked again."""
        if ids:
            self.turns.insert(0, self.codec.decode(ids))

    def _generation(self, ids: list[int], finish: Any, stop: str | None) -> Generation:
        return Generation(ids, [-0.5 - 0.01 * token for token in ids], finish, stop, self.version, cached_tokens=1)

    async def update_weights(self, weights: Iterable[Any], version: int) -> None:
        """Only the version counts."""
        self.version = version

    async def close(self) -> None:
        """Nothing to end."""


class ScriptedTool:
    """Gives its outputs in turn and remembers the arguments."""

    def __init__(self, name: str, outputs: Sequence[str | Exception]) -> None:
        self.name = name
        self.outputs = list(outputs)
        self.arguments: list[str] = []

    async def call(self, argument: str) -> ToolOutcome:
        """The next output."""
        self.arguments.append(argument)
        output = self.outputs.pop(0)
        if isinstance(output, Exception):
            raise output
        return ToolOutcome(output)

    async def close(self) -> None:
        """Nothing to end."""


def fresh(codec: Codec, system: str = "", user: str = "question", uid: str = "t0") -> Trajectory:
    """A bare prompt."""
    return Trajectory(uid=uid, group="g", prompt_ids=codec.prompt_ids(system, user))
