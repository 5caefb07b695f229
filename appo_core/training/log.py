"""Metrics of a run: JSON lines and TensorBoard."""

import json
import os
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Appends one row per step; a resumed run drops the rows behind its checkpoint first."""

    def __init__(self, folder: Path, finished_steps: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        self._forget_after(finished_steps)
        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=finished_steps + 1)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """One row; names with a slash become TensorBoard groups."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)
        # A checkpoint may follow at once, and behind it nothing of this step is written again.
        self._board.flush()

    def close(self) -> None:
        """Write out what is buffered."""
        self._board.close()

    def _forget_after(self, step: int) -> None:
        if not self.path.exists():
            return
        # Without a checkpoint the run starts afresh, its first validation (step 0) included.
        kept = range(step + 1) if step else range(0)
        rows = [line for line in self.path.read_text().splitlines() if _step_of(line) in kept]
        self.path.write_text("".join(f"{line}\n" for line in rows))


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1
