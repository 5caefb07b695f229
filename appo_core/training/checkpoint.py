"""Sharded checkpoints (DCP): written beside, marked complete last, resumed from the newest complete one."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from appo_core.training.ranks import Ranks

COMPLETE = "state.json"
"""Written last: a checkpoint without it does not exist."""


@dataclass(frozen=True)
class TrainState:
    """Counters of a run. Sampling and data order are pure functions of them, so there is no other state."""

    step: int = 0
    """Finished steps."""
    weights_version: int = 0
    tokens: int = 0
    """Tokens generated so far."""


def _tied(policy: Any) -> bool:
    return bool(policy.model.config.tie_word_embeddings)


def model_state(policy: nn.Module) -> dict[str, Any]:
    """Hugging Face names -> (sharded) tensors; a tied head is left out."""
    state = {name.removeprefix("model."): value for name, value in get_model_state_dict(policy).items()}
    if _tied(policy):
        state.pop("lm_head.weight", None)
    return state


def save(folder: Path, policy: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState, ranks: Ranks) -> None:
    """Write `folder` whole or not at all."""
    if ranks.first:
        shutil.rmtree(folder, ignore_errors=True)
    ranks.barrier()
    dcp.save({"model": model_state(policy)}, checkpoint_id=folder / "model")
    dcp.save({"optimizer": get_optimizer_state_dict(policy, optimizer)}, checkpoint_id=folder / "optimizer")
    ranks.barrier()
    if ranks.first:
        partial = folder / f"{COMPLETE}.partial"
        with partial.open("w") as file:
            json.dump(asdict(state), file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder / COMPLETE)
    ranks.barrier()


def load(folder: Path, policy: Any, optimizer: torch.optim.Optimizer) -> TrainState:
    """Restore policy and optimiser from `folder`; returns the counters."""
    wanted = {"model": model_state(policy)}
    dcp.load(wanted, checkpoint_id=folder / "model")
    weights = {f"model.{name}": value for name, value in wanted["model"].items()}
    if _tied(policy):
        weights["model.lm_head.weight"] = weights["model.model.embed_tokens.weight"]
    set_model_state_dict(policy, weights)
    moments = {"optimizer": get_optimizer_state_dict(policy, optimizer)}
    dcp.load(moments, checkpoint_id=folder / "optimizer")
    set_optimizer_state_dict(policy, optimizer, moments["optimizer"])
    return TrainState(**json.loads((folder / COMPLETE).read_text()))


def newest(root: Path) -> Path | None:
    """The newest complete checkpoint under `root`."""
    complete = sorted(path.parent for path in root.glob(f"step_*/{COMPLETE}"))
    return complete[-1] if complete else None


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints, and incomplete ones older than those."""
    complete = sorted(path.parent for path in root.glob(f"step_*/{COMPLETE}"))
    for path in sorted(root.glob("step_*")):
        if complete and path < complete[-1] and path not in complete[-keep:]:
            shutil.rmtree(path, ignore_errors=True)
