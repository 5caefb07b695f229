"""What every tool offers to the rollout loop."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class ToolOutcome:
    """What one call gave.

    `text` is what the model reads, also when the call failed. `failure` names the cause (`timeout`, `memory`,
    `unreachable`, ...) when the *tool* failed; code that raises and searches that find nothing are outcomes, not
    failures.
    """

    text: str
    failure: str | None = None
    seconds: float = 0.0


class Tool(Protocol):
    """A tool, called by the text between its tags: ``<name>argument</name>``."""

    @property
    def name(self) -> str:
        """The tag, `python` or `search`."""
        ...

    async def call(self, argument: str) -> ToolOutcome:
        """Run one call. Never raises for what the argument says; raises only when the tool itself is unusable."""
        ...

    async def close(self) -> None:
        """End every process and connection the tool holds."""
        ...
