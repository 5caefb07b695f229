"""Where a run keeps what."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The folders of one run: results under `output`, what a resumed run needs under `work`."""

    output: Path
    work: Path

    @property
    def checkpoints(self) -> Path:
        """Checkpoints to resume from."""
        return self.work / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON line per step."""
        return self.work / "metrics.jsonl"

    def rollouts(self, step: int) -> Path:
        """The rollout dump of a step, counted from 1."""
        return self.work / "rollouts" / f"step_{step:06d}.jsonl"
