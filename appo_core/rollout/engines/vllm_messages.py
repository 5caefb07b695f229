"""What the trainer's process and vLLM's process say to each other, pickled."""

from dataclasses import dataclass
from typing import Any

from appo_core.rollout.engines.base import Generation, SamplingParams


@dataclass(frozen=True)
class Start:
    """Arguments of vLLM's engine."""

    arguments: dict[str, Any]


@dataclass(frozen=True)
class Generate:
    """One generation request."""

    key: int
    prompt_ids: list[int]
    sampling: SamplingParams


@dataclass(frozen=True)
class Abort:
    """The caller no longer waits for this request."""

    key: int


@dataclass(frozen=True)
class Weights:
    """Load the safetensors file `path` once the running requests have ended."""

    path: str
    version: int


@dataclass(frozen=True)
class Close:
    """End the process."""


@dataclass(frozen=True)
class Ready:
    """vLLM has started."""


@dataclass(frozen=True)
class Failed:
    """vLLM did not start, or broke down."""

    cause: str


@dataclass(frozen=True)
class Done:
    """A finished request."""

    key: int
    generation: Generation


@dataclass(frozen=True)
class Refused:
    """A request vLLM does not take."""

    key: int
    cause: str


@dataclass(frozen=True)
class Updated:
    """The weights of `version` are in place, or the cause why not."""

    version: int
    cause: str | None = None
