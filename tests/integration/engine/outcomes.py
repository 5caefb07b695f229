"""What a training run leaves, without the times it took: for comparing two runs."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

TIMES = ("seconds", "per_second")


def tensors(folder: Path) -> dict[str, Any]:
    """Every tensor, and every other value, of a DCP folder by its path, whatever number of ranks wrote it."""
    state: dict[str, Any] = {}
    _load_state_dict(state, storage_reader=FileSystemReader(folder), planner=_EmptyStateDictLoadPlanner(), no_dist=True)
    return dict(_flat(state))


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [item for key in value for item in _flat(value[key], f"{name}/{key}")]
    if isinstance(value, list):
        return [item for key, part in enumerate(value) for item in _flat(part, f"{name}/{key}")]
    return [(name, value)]


def metrics(work: Path) -> list[dict[str, float]]:
    """The rows of all steps."""
    rows = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    return [timeless(row) for row in rows]


def rollouts(work: Path) -> dict[str, list[dict[str, Any]]]:
    """The dumps of all steps, by file name."""
    return {
        path.name: [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        for path in sorted((work / "rollouts").iterdir())
    }


def timeless(value: Any) -> Any:
    """A JSON value without the fields that hold times."""
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if not any(word in key for word in TIMES)}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def same_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Names, types and every bit agree."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert type(value) is type(other[name])
        if isinstance(value, Tensor):
            assert value.dtype == other[name].dtype
            assert torch.equal(value, other[name]), name
        else:
            assert value == other[name], name
