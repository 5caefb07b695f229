"""Which weights a folder, here or behind a URL, holds: recognised by its files, without reading any."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import fsspec

from appo_core.jobs.contract import JobError

SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")
"""A rank's weights as verl's FSDP trainer names them."""
ADAPTER = "adapter_config.json"
_STEP = re.compile(r"(?:.*/)?(global_step_\d+)/(?:actor/)?model_world_size_")
OTHER_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".index.json", ".py")
"""Endings of what is neither configuration nor tokenizer."""
LAYOUTS = (
    f"an rl-checkpoint (dcp/ or adapter/), verl's shards (model_world_size_*_rank_*.pt) or a PEFT adapter ({ADAPTER})"
)


@dataclass(frozen=True)
class Layout:
    """What a folder holds."""

    kind: Literal["dcp", "verl", "adapter"]
    folder: str
    """Inside the file system."""
    names: tuple[str, ...]
    """The files that a merge reads, relative to `folder`; optimiser state and the like are left out."""


def opened(url: str) -> tuple[Any, str]:
    """File system and path of a folder; raises `JobError` when it cannot be reached or holds no file."""
    try:
        files, path = fsspec.core.url_to_fs(url)
        there = bool(files.find(path)) and files.isdir(path)
    except (OSError, ValueError, ImportError) as error:
        raise JobError(f"{url}: {error}", remedy="check the path and its credentials") from None
    if not there:
        raise JobError(f"{url} is no folder with files", remedy="check the path")
    return files, path.rstrip("/")


def recognise(url: str) -> Layout:
    """The layout of a folder or URL; raises `JobError` saying what was looked for."""
    files, path = opened(url)
    names = [name.removeprefix(f"{path}/") for name in sorted(files.find(path))]
    if "dcp/.metadata" in names:
        return Layout("dcp", path, _below(names, "dcp", "hf"))
    if f"adapter/{ADAPTER}" in names:
        return Layout("adapter", path, _below(names, "adapter", "hf"))
    if ADAPTER in names:
        return Layout("adapter", path, _beside(names, "adapter_model.safetensors"))
    for folder in ("", "actor/"):
        inside = [name.removeprefix(folder) for name in names if name.startswith(folder)]
        shards = [name for name in inside if SHARD.fullmatch(name)]
        if shards:
            return Layout("verl", f"{path}/{folder}".rstrip("/"), (*shards, *_beside(inside)))
    raise _unknown(url, names)


def _below(names: Sequence[str], *folders: str) -> tuple[str, ...]:
    return tuple(name for name in names if name.split("/")[0] in folders)


def _beside(names: Sequence[str], *weights: str) -> tuple[str, ...]:
    """Configuration and tokenizer files of a folder and of `huggingface/` in it, and the named weights."""
    near = [name for name in names if "/" not in name.removeprefix("huggingface/")]
    return tuple(name for name in near if name in weights or not name.endswith(OTHER_WEIGHTS))


def _unknown(url: str, names: Sequence[str]) -> JobError:
    steps = sorted({found[1] for name in names if (found := _STEP.match(name))}, key=lambda step: int(step[12:]))
    if steps:
        remedy = f"name one of {', '.join(steps)}"
        return JobError(f"{url} holds the checkpoints of {len(steps)} steps", remedy=remedy)
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return JobError(f"{url} is a whole model: there is nothing to merge", remedy="serve or evaluate it as it is")
    return JobError(f"{url} holds neither of: {LAYOUTS}", remedy="name the folder of one of them")
