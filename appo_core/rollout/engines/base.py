"""What every inference engine offers to the rollout loop."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SamplingParams:
    """How one generation call draws tokens. `max_tokens` counts new tokens; a stop string stays in the output."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    entropy_tokens: int = 0
    """Of how many tokens, from the first, the entropies are wanted."""


@dataclass(frozen=True)
class Generation:
    """What one generation call gave: exactly the sampled ids, and the log-prob (nats) of each."""

    token_ids: list[int]
    logprobs: list[float]
    finish: Literal["stop", "eos", "length"]
    """`stop`: a stop string ended it; `eos`: the end-of-sequence token (kept as the last id); `length`: max_tokens."""
    stop: str | None = None
    """The stop string that ended it."""
    weights_version: int = 0
    cached_tokens: int = 0
    """Prompt tokens that came from the prefix cache."""
    entropies: list[float] = field(default_factory=list)
    """Entropies (nats) of the first tokens, if wanted: exact, or of the ten likeliest tokens and the chosen one."""


class EngineError(Exception):
    """The engine failed at a request; the request may be tried again."""


class Engine(Protocol):
    """An inference engine. Requests of different trajectories overlap freely."""

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        """Continue `prompt_ids`; raises `EngineError`."""
        ...

    async def update_weights(self, weights: "Iterable[tuple[str, Tensor]]", version: int) -> None:
        """Replace the weights (Hugging Face names) between requests; later generations carry `version`."""
        ...

    async def close(self) -> None:
        """End the engine and every process it holds."""
        ...
