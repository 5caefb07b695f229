"""What a checkpoint holds, on disk: shards, side files and, written last, the marker that makes it exist.

step_000020/model/       weights (torch DCP)
            optimizer/   moments and step counts (torch DCP)
            rng.json     random generators of every rank
            pending.jsonl  rollouts for the next step, in `stale` mode only
            state.json   counters, the run's identity, and the size of every file above
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from appo_core.training.best import Best

COMPLETE = "state.json"
"""Written last: a checkpoint without it does not exist."""
RNG, PENDING = "rng.json", "pending.jsonl"


@dataclass(frozen=True)
class TrainState:
    """Counters of a run. Data order and sampling seeds are pure functions of them."""

    step: int = 0
    """Finished steps."""
    weights_version: int = 0
    """Optimiser updates; the learning rate's warm-up follows it."""
    tokens: int = 0
    """Tokens generated so far."""
    noise_floor: float | None = None
    """Spread of future values that equal policies show, as measured last."""
    best: Best | None = None


@dataclass(frozen=True)
class Marker:
    """The content of `state.json`."""

    state: TrainState
    identity: Mapping[str, Any]
    """What a run must have in common with this one to go on from here."""
    files: Mapping[str, int]
    """Size in bytes by path inside the checkpoint."""

    def write(self, folder: Path) -> None:
        """Make `folder` a whole checkpoint, at once or not at all."""
        partial = folder / f"{COMPLETE}.partial"
        with partial.open("w") as file:
            json.dump({**asdict(self.state), "identity": self.identity, "files": self.files}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder / COMPLETE)

    @classmethod
    def read(cls, folder: Path) -> "Marker":
        """Raises `OSError`, and `ValueError` for anything that is no marker."""
        content = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        try:
            best = content["best"] and Best(**content["best"])
            known = {field.name: content[field.name] for field in fields(TrainState)}
            return cls(TrainState(**(known | {"best": best})), content["identity"], content["files"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the state of a training run ({type(error).__name__}: {error})") from error


def step_folder(root: Path, step: int) -> Path:
    """The checkpoint behind `step` steps."""
    return root / f"step_{step:06d}"


def complete(root: Path) -> list[Path]:
    """All checkpoints that were finished, oldest first; files may have been lost since."""
    return sorted(path.parent for path in root.glob(f"step_*/{COMPLETE}"))


def sizes(folder: Path) -> dict[str, int]:
    """Size by path of all files in `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }


def damage(folder: Path) -> str | None:
    """The first thing that is wrong with a finished checkpoint, or None for a whole one."""
    try:
        marker = Marker.read(folder)
    except (OSError, ValueError) as error:
        return f"{COMPLETE} cannot be read: {error}"
    found = sizes(folder)
    for name, size in marker.files.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != size:
            return f"{name} has {found[name]} bytes instead of {size}"
    return None


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest `keep` finished checkpoints and the best of each, and unfinished ones before them."""
    done = complete(root)
    kept = set(done[-keep:]) | {step_folder(root, step) for step in map(_best_step, done[-keep:]) if step}
    for path in sorted(root.glob("step_*")):
        if done and path < done[-1] and path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _best_step(folder: Path) -> int | None:
    try:
        best = Marker.read(folder).state.best
    except (OSError, ValueError):
        return None
    return best.step if best else None
