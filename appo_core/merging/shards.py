"""Reads a sharded (DCP) checkpoint into full tensors with Hugging Face names."""

from pathlib import Path
from typing import Any

from appo_core.jobs.contract import JobError
from appo_core.merging.pickles import vet_metadata

KEY = "model"
"""Key of the weights in the checkpoint; below it Hugging Face parameter names."""


def read_shards(folder: Path) -> dict[str, Any]:
    """Hugging Face name -> full CPU tensor, of whatever number of ranks wrote them.

    Optimiser state beside the weights is not read. Raises `JobError` when files are missing or damaged.
    """
    import torch
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    vet_metadata(folder / ".metadata")
    try:
        metadata = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
        weights = {
            name.removeprefix(f"{KEY}."): torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in metadata.items()
            if name.startswith(f"{KEY}.") and isinstance(entry, TensorStorageMetadata)
        }
        dcp.load({KEY: weights}, checkpoint_id=folder, no_dist=True)
    except (OSError, RuntimeError, ValueError, EOFError, dcp.api.CheckpointException) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise JobError(
            f"{folder}: the sharded checkpoint cannot be read: {reason}", remedy="re-run the rl stage"
        ) from None
    if not weights:
        raise JobError(f"{folder} has no weights under '{KEY}'", remedy="give a checkpoint of the rl stage")
    return weights
