"""Going on from the newest whole checkpoint, or saying why not."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from appo_core.jobs.contract import JobError
from appo_core.training.checkpoint import COMPLETE, PENDING, RNG, Marker, TrainState, complete, damage, step_folder
from appo_core.training.collect import Collected
from appo_core.training.identity import SHOWN, check_identity
from appo_core.training.pending import load_pending
from appo_core.training.policy import Policy, load_model_state, model_state
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on, beside the weights and moments that are loaded already."""

    state: TrainState = field(default_factory=TrainState)
    pending: Collected | None = None
    """Rollouts that were waiting for the next step."""
    generators: Sequence[dict[str, Any]] = ()
    """Random generators by rank, for `rng.restore`."""


def resume(
    root: Path,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    prompts: Sequence[Prompt],
    ranks: Ranks,
    *,
    identity: Mapping[str, Any],
    log: Callable[[str], None],
) -> Resumed:
    """Load the newest whole checkpoint under `root`; without any, nothing is touched.

    Collective. A damaged checkpoint is set aside, and said so, when an earlier one is whole.

    Raises:
        JobError: all finished checkpoints are damaged, or the newest is of another model or other settings.
    """
    folder = newest_whole(root, ranks, log)
    if folder is None:
        return Resumed()
    marker = Marker.read(folder)
    check_identity(folder, marker.identity, identity)
    load_tensors(folder, policy, optimizer)
    return Resumed(
        _with_best(marker.state, root, log if ranks.first else None),
        load_pending(folder / PENDING, prompts, ranks) if (folder / PENDING).exists() else None,
        json.loads((folder / RNG).read_text()),
    )


def newest_whole(root: Path, ranks: Ranks, log: Callable[[str], None]) -> Path | None:
    """The same answer, or the same `JobError`, on every rank."""
    answer: tuple[Path | None, list[str], bool] = ranks.gather(_choose(root) if ranks.first else None)[0]
    folder, notes, refused = answer
    if refused:
        raise JobError(
            f"no checkpoint under {root} is whole: {'; '.join(notes)}",
            remedy="put the file back, or remove that folder to train from the first step on",
        )
    if ranks.first:
        for note in notes:
            log(note)
    return folder


def _choose(root: Path) -> tuple[Path | None, list[str], bool]:
    """The checkpoint, what to tell, and whether to refuse; damaged ones newer than a whole one are set aside."""
    damaged: list[tuple[Path, str]] = []
    for folder in reversed(complete(root)):
        cause = damage(folder)
        if cause is None:
            aside = [(path, path.rename(root / f"damaged-{path.name}"), why) for path, why in damaged]
            notes = [f"checkpoint {path.name} is damaged ({why}): set aside as {new.name}" for path, new, why in aside]
            return folder, notes, False
        damaged.append((folder, cause))
    if damaged:
        return None, [f"{path.name}: {why}" for path, why in damaged], True
    torn = any(root.glob("step_*"))
    return None, ["no checkpoint was finished before: training starts from the first step"] if torn else [], False


def load_tensors(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer) -> None:
    """Restore weights and moments; raises `JobError` for another model's, and for shards that cannot be read."""
    wanted = {"model": model_state(policy)}
    moments = {"optimizer": get_optimizer_state_dict(policy, optimizer)}
    try:
        _check_shapes(folder, wanted["model"])
        alone = not dist.is_initialized()
        dcp.load(wanted, checkpoint_id=folder / "model", no_dist=alone)
        dcp.load(moments, checkpoint_id=folder / "optimizer", no_dist=alone)
    except JobError:
        raise
    except (Exception, CheckpointException) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise JobError(
            f"checkpoint {folder} cannot be read: {lines[-1]}",
            remedy=f"remove its {COMPLETE}, to resume from the checkpoint before, or put its files back",
        ) from error
    load_model_state(policy, wanted["model"])
    set_optimizer_state_dict(policy, optimizer, moments["optimizer"])


def _check_shapes(folder: Path, wanted: Mapping[str, Any]) -> None:
    stored = dcp.FileSystemReader(folder / "model").read_metadata().state_dict_metadata
    there = {name.removeprefix("model."): tuple(getattr(entry, "size", ())) for name, entry in stored.items()}
    here = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    found = [
        f"{name} is {there.get(name, 'absent')} there and {here.get(name, 'absent')} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if found:
        raise JobError(
            f"checkpoint {folder} is of another model: {'; '.join(found[:SHOWN])} ({len(found)} tensors in all)",
            remedy="give the model that this run began with, or a work folder of its own",
        )


def _with_best(state: TrainState, root: Path, log: Callable[[str], None] | None) -> TrainState:
    """`state`, without its best checkpoint if that is not whole any more."""
    if state.best is None:
        return state
    folder = step_folder(root, state.best.step)
    cause = damage(folder)
    if cause is None:
        return state
    if log is not None:
        log(f"the best checkpoint so far, {folder.name}, is damaged ({cause}): the best is chosen anew from here on")
    return replace(state, best=None)
