"""Saving beside the training: tensors are copied at once, written by threads while the next step runs.

At most one save is under way. Each part has a process group of its own, as its collectives run beside the training's.
"""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

from appo_core.jobs.contract import JobError
from appo_core.training import rng
from appo_core.training.checkpoint import PENDING, RNG, Marker, TrainState, prune, sizes, step_folder
from appo_core.training.collect import Collected
from appo_core.training.pending import pending_lines
from appo_core.training.policy import Policy, model_state
from appo_core.training.ranks import Ranks

PARTS = ("model", "optimizer")


@dataclass(frozen=True)
class _UnderWay:
    folder: Path
    ended: "Future[None]"


class Saver:
    """Saves checkpoints under `root`; a context manager that leaves nothing running behind it.

    All methods are collective. A save that failed, on whatever rank, is a `JobError` of every rank at the next call.
    """

    def __init__(self, root: Path, ranks: Ranks, *, keep: int, identity: Mapping[str, Any]) -> None:
        self.root, self.ranks, self.keep, self.identity = root, ranks, keep, identity
        self._groups = {part: dist.new_group(backend="gloo") if dist.is_initialized() else None for part in PARTS}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._under_way: _UnderWay | None = None

    def start(
        self,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        state: TrainState,
        pending: Collected | None = None,
    ) -> None:
        """Copy everything now and write it in the background, once the save before this one has ended."""
        self.wait()
        folder = step_folder(self.root, state.step)
        if self.ranks.first:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        states = self.ranks.gather(rng.snapshot(self.ranks))
        waiting = [part for part in self.ranks.gather(pending) if part is not None]
        tensors = {"model": model_state(policy), "optimizer": get_optimizer_state_dict(policy, optimizer)}
        uploads = [
            dcp.async_save(
                {part: tensors[part]}, checkpoint_id=folder / part, process_group=group, no_dist=group is None
            )
            for part, group in self._groups.items()
        ]

        def finish() -> None:
            # The first rank's uploads end well only when those of all ranks have.
            _all_of(uploads)
            if self.ranks.first:
                _write_beside(folder, states, waiting)
                Marker(state, self.identity, sizes(folder)).write(folder)
                prune(self.root, self.keep)

        self._under_way = _UnderWay(folder, self._thread.submit(finish))

    def check(self) -> None:
        """Raise what has gone wrong so far with the save under way; does not wait for it."""
        if self._under_way is None:
            return
        ended = self._under_way.ended
        if self.ranks.maximum(float(ended.done() and ended.exception() is not None)):
            self.wait()

    def wait(self) -> None:
        """Wait for the save under way; raises `JobError` if it failed, and removes what it had written."""
        if self._under_way is None:
            return
        folder, ended = self._under_way.folder, self._under_way.ended
        self._under_way = None
        error = ended.exception()
        causes = [cause for cause in self.ranks.gather(error and _cause(error, self.root)) if cause]
        if not causes:
            return
        if self.ranks.first:
            shutil.rmtree(folder, ignore_errors=True)
        raise JobError(
            f"the checkpoint behind step {int(folder.name[5:])} could not be written: {causes[0]}",
            remedy="make room, or mend the disk, and start the run again: it resumes from the checkpoint before",
        )

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
            # Another fault ends the run: what is being written may still become whole, or else makes room.
            elif self._under_way is not None and self._under_way.ended.exception() is not None and self.ranks.first:
                shutil.rmtree(self._under_way.folder, ignore_errors=True)
        finally:
            self._thread.shutdown()


def _write_beside(folder: Path, states: list[dict[str, Any]], waiting: list[Collected]) -> None:
    (folder / RNG).write_text(json.dumps(states))
    if waiting:
        with (folder / PENDING).open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in pending_lines(waiting))


def _all_of(uploads: "list[Any]") -> None:
    """Wait for all, then raise the first fault."""
    faults = [upload.exception() for upload in uploads]
    for fault in faults:
        if fault is not None:
            raise fault


def _cause(error: BaseException, root: Path) -> str:
    """One line: the fault below all others, and how much room there is."""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    free = f"({shutil.disk_usage(root).free / 2**20:.0f} MiB free at {root})"
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError):
            return f"{below.strerror} {free}"
        below = below.__cause__ or below.__context__
    # A fault that came from another rank has lost what was below it; this is how torch says that a write failed.
    if "inline_container" in str(error):
        return f"a write was cut short {free}"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''} {free}"
