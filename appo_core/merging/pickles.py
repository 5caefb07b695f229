"""Pickled shards without running what a pickle may ask for.

A rank's file of a sharded model is a pickle of DTensors. It is read by torch's `weights_only` unpickler with a list of
allowed names, and each of them stands for an inert record here: no process group, no device and no particular version
of torch's classes is needed to read what a torch of another version wrote.
"""

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import torch

from appo_core.jobs.contract import JobError

_FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)")
_REMEDY = "do not load this file, it may run code: get the checkpoint again from where it was trained"


class Part(torch.Tensor):
    """One rank's part of a sharded tensor: `_local_tensor`, and in `_spec` mesh, placements and the whole's shape."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise TypeError(f"{func}: a part is a record, not a tensor to compute with")


class Record:
    """An object of a pickle: its arguments and its state."""

    def __new__(cls, *args: Any) -> "Record":
        """Unpickling may stop here: `__init__` is not called then."""
        record = super().__new__(cls)
        record.args = args
        return record

    def __init__(self, *args: Any) -> None:
        self.args = args

    def get(self, name: str, place: int) -> Any:
        """A field from the state, or the argument at `place`; raises `KeyError`."""
        if name in vars(self):
            return vars(self)[name]
        if place < len(self.args):
            return self.args[place]
        raise KeyError(name)


class Mesh(Record):
    """A device mesh."""


class Shard(Record):
    """Cut along a dimension."""


class Replicate(Record):
    """Whole on every rank."""


class Partial(Record):
    """A term of a sum over ranks."""


class Strided(Record):
    """Cut in an order that only other parallelism explains."""


_TENSOR = ("torch.distributed.tensor", "torch.distributed._tensor")
_CLASSES = {
    **dict.fromkeys((f"{room}{file}.DTensor" for room, file in product(_TENSOR, ("", ".api", "._api"))), Part),
    **dict.fromkeys(
        (
            f"{room}.{file}.{name}"
            for room, file, name in product(
                _TENSOR, ("_dtensor_spec", "placement_types"), ("DTensorSpec", "TensorMeta", "ShardOrderEntry")
            )
        ),
        Record,
    ),
    **{
        f"{room}.placement_types.{name}": record
        for room in _TENSOR
        for name, record in {
            "Shard": Shard,
            "_StridedShard": Strided,
            "Replicate": Replicate,
            "Partial": Partial,
            "_Partial": Partial,
        }.items()
    },
    "torch.distributed.device_mesh.DeviceMesh": Mesh,
    "torch.distributed._tensor.device_mesh.DeviceMesh": Mesh,
    "torch.distributed._mesh_layout._MeshLayout": Record,
    "torch.distributed._mesh_layout._FlatLayout": Record,
}
"""What a shard's pickle may name beside what torch allows by itself, in torch 2.2 to 2.13."""


def load_shard(path: Path) -> dict[str, Any]:
    """Name -> tensor or `Part` of one rank's file, its storage mapped into memory, not read.

    Raises `JobError` for a file that is damaged, holds no such mapping, or names anything else than tensors.
    """
    try:
        with _only_records():
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        found = _FORBIDDEN.search(str(error))
        if found:
            raise JobError(f"{path} asks for {found[1]}, which no weights need", remedy=_REMEDY) from None
        raise _unreadable(path, error) from None
    except (RuntimeError, OSError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise JobError(f"{path} is no mapping of names to tensors", remedy="give the model's shards")
    return content


@contextmanager
def _only_records() -> Iterator[None]:
    """Torch allows its own classes under the same names: they, and all that others have allowed, are put aside."""
    others = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([(record, name) for name, record in _CLASSES.items()])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(others)


def _unreadable(path: Path, error: Exception) -> JobError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return JobError(f"{path} cannot be read: {reason}", remedy="copy the file again; it may be cut short")


_METADATA_ROOMS = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")
_METADATA = {
    "torch.Size",
    "torch.serialization._get_layout",
    "collections.OrderedDict",
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath")),
    *(
        f"{room}.{name}"
        for room, name in product(
            _METADATA_ROOMS,
            (
                "BytesStorageMetadata",
                "ChunkStorageMetadata",
                "Metadata",
                "MetadataIndex",
                "StorageMeta",
                "TensorProperties",
                "TensorStorageMetadata",
                "_MEM_FORMAT_ENCODING",
                "_StorageInfo",
                "_StoragePrefix",
            ),
        )
    ),
}


class _MetadataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in _METADATA or (module == "torch" and isinstance(getattr(torch, name, 0), torch.dtype)):
            return super().find_class(module, name)
        raise PermissionError(f"{module}.{name}")


def vet_metadata(path: Path) -> None:
    """Raises `JobError` unless a DCP folder's `.metadata`, which torch unpickles without a guard, is harmless."""
    try:
        with path.open("rb") as file:
            _MetadataUnpickler(file).load()
    except PermissionError as error:
        raise JobError(f"{path} asks for {error}, which no checkpoint needs", remedy=_REMEDY) from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can fail in any way
        raise _unreadable(path, error) from None
