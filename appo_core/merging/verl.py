"""Reads the FSDP shards that verl writes: `actor/model_world_size_<W>_rank_<r>.pt`, a mapping of names per rank.

Meshes are (`fsdp`) and (`ddp`, `fsdp`); of the second only the first group of replicas is read.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from appo_core.jobs.contract import JobError
from appo_core.merging.layouts import SHARD
from appo_core.merging.pickles import Mesh, Part, Partial, Replicate, Shard, load_shard

WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")
"""What wrappers put into names, at any place; `module.` only stands in front."""


def read_verl(folder: Path) -> dict[str, Tensor]:
    """Hugging Face name -> full tensor in the data type it was saved in.

    Raises `JobError` naming the file that is missing, damaged or of another checkpoint.
    """
    files = shard_files(folder)
    first = load_shard(files[0])
    files = files[: replica(first, len(files), files[0])]
    parts = [first, *map(load_shard, files[1:])]
    _same_names(parts, files)
    weights: dict[str, Tensor] = {}
    for name in first:
        clean = stripped(name)
        if clean in weights:
            raise JobError(f"{files[0]} holds {clean} twice", remedy="save the checkpoint again")
        weights[clean] = assemble(name, [part[name] for part in parts], files)
    return _no_adapter(weights, folder)


def shard_files(folder: Path) -> list[Path]:
    """Every rank's file, by rank; raises `JobError` for a missing rank and for files of two world sizes."""
    matches = {path: SHARD.fullmatch(path.name) for path in folder.iterdir()}
    found = {path: int(match[1]) for path, match in matches.items() if match}
    worlds = sorted(set(found.values()))
    if len(worlds) != 1:
        shown = ", ".join(min(path.name for path, own in found.items() if own == world) for world in worlds)
        raise JobError(
            f"{folder} holds shards of {len(worlds)} world sizes: {shown}", remedy="keep those of one checkpoint"
        )
    files = [folder / f"model_world_size_{worlds[0]}_rank_{rank}.pt" for rank in range(worlds[0])]
    missing = [path for path in files if path not in found]
    if missing:
        raise JobError(f"{missing[0]} is missing ({len(missing)} of {worlds[0]})", remedy="copy every rank's file")
    return files


def replica(content: dict[str, Any], world: int, path: Path) -> int:
    """How many ranks, from 0 on, hold a whole copy; raises `JobError` for a mesh that is not FSDP alone."""
    mesh = next((part._spec.mesh for part in content.values() if isinstance(part, Part)), None)
    if mesh is None:
        return world
    names, shape = mesh_dimensions(mesh)
    if names not in (("fsdp",), ("ddp", "fsdp"), None) or len(shape) > 2 or math.prod(shape) != world:
        raise JobError(
            f"{path}: mesh {names or 'without names'} of shape {shape} over {world} ranks is not supported",
            remedy="merge checkpoints of plain FSDP (mesh fsdp, or ddp and fsdp); save others with verl's own merger",
        )
    return shape[-1]


def mesh_dimensions(mesh: Mesh) -> tuple[tuple[str, ...] | None, tuple[int, ...]]:
    """Names and sizes of a mesh's dimensions, as torch 2.2 to 2.13 pickle them."""
    state = vars(mesh)
    names = state.get("_mesh_dim_names", state.get("mesh_dim_names"))
    if "mesh" in state:
        shape = tuple(state["mesh"].shape)
    else:
        layout = state["_layout"]
        axes = [vars(axis)["shape"] for axis in vars(layout).get("axes", ())] or vars(layout)["shape"]
        shape = tuple(math.prod(axis) if isinstance(axis, tuple) else axis for axis in axes)
    return (tuple(names) if names else None), shape


def assemble(name: str, parts: Sequence[Any], files: Sequence[Path]) -> Tensor:
    """One whole tensor from what the ranks of one replica hold of it."""
    sharded = [isinstance(part, Part) for part in parts]
    if not any(sharded):
        return _same(name, parts, files)
    if not all(sharded):
        raise JobError(f"{name} is sharded in some of {_shown(files)} and whole in others", remedy=_MIXED)
    placements = [_placement(name, part, path) for part, path in zip(parts, files, strict=True)]
    if len({_dimension(one) for one in placements}) != 1:
        raise JobError(f"{name} is placed differently in {_shown(files)}", remedy=_MIXED)
    cut, local = _dimension(placements[0]), [part._local_tensor for part in parts]
    tensor = local[0] if cut is None else torch.cat(local, dim=cut)
    shape = tuple(parts[0]._spec.tensor_meta.get("shape", 0))
    if tuple(tensor.shape) != shape:
        raise JobError(f"the parts of {name} make {tuple(tensor.shape)}, the whole is {shape}", remedy=_MIXED)
    return tensor


_MIXED = "the files are of different checkpoints: copy all ranks of one"


def _placement(name: str, part: Part, path: Path) -> Shard | Replicate:
    """How one replica's ranks share a tensor; the replicas themselves hold the same."""
    *outer, own = part._spec.placements
    if isinstance(own, Shard | Replicate) and all(isinstance(one, Replicate) for one in outer):
        return own
    what = "a partial sum" if any(isinstance(one, Partial) for one in (*outer, own)) else "placed in another way"
    raise JobError(f"{path}: {name} is {what}, not a shard or a copy", remedy="save the checkpoint between steps")


def _dimension(placement: Shard | Replicate) -> int | None:
    """The dimension a tensor is cut along; None for one that every rank holds whole."""
    return int(placement.get("dim", 0)) if isinstance(placement, Shard) else None


def _shown(files: Sequence[Path]) -> str:
    return f"{files[0].name} to {files[-1].name}"


def _same(name: str, parts: Sequence[Tensor], files: Sequence[Path]) -> Tensor:
    for part, path in zip(parts[1:], files[1:], strict=True):
        if part.dtype != parts[0].dtype or not torch.equal(part, parts[0]):
            raise JobError(f"{name} is not sharded, yet {path.name} and {files[0].name} differ in it", remedy=_MIXED)
    return parts[0]


def _same_names(parts: Sequence[dict[str, Any]], files: Sequence[Path]) -> None:
    for part, path in zip(parts[1:], files[1:], strict=True):
        apart = sorted(part.keys() ^ parts[0].keys())
        if apart:
            raise JobError(f"{path.name} and {files[0].name} do not both hold {apart[0]}", remedy=_MIXED)


def stripped(name: str) -> str:
    """A name without what FSDP, DDP, checkpointing and compilation put into it."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name.removeprefix("module.")


def _no_adapter(weights: dict[str, Tensor], folder: Path) -> dict[str, Tensor]:
    if any(".lora_A." in name for name in weights):
        raise JobError(
            f"{folder}: the shards hold a LoRA adapter beside its model", remedy=f"give {folder / 'lora_adapter'}"
        )
    return weights
