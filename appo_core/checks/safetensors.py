"""A reader for safetensors files that needs numpy only: headers, and a scan for values that are not finite.

Format: 8 bytes little-endian header length, a JSON header (name -> dtype, shape, byte range), then the tensors' bytes.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from appo_core.jobs.contract import JobError

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of one element, by dtype."""
_EXPONENT = {
    "F64": (np.uint64, 0x7FF0_0000_0000_0000),
    "F32": (np.uint32, 0x7F80_0000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
"""Infinities and NaNs are the values whose exponent bits are all ones (IEEE 754)."""
_CHUNK = 1 << 24
"""Elements looked at together: bounds memory."""


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    """First byte in the file."""
    size: int
    """Bytes."""

    def raw(self) -> npt.NDArray[np.uint8]:
        """The tensor's bytes, mapped from the file."""
        if not self.size:
            return np.empty(0, np.uint8)
        return np.memmap(self.file, np.uint8, "r", self.offset, (self.size,))

    def nonfinite(self) -> int:
        """How many values are infinite or not a number; 0 for integers."""
        if self.dtype not in _EXPONENT:
            return 0
        kind, mask = _EXPONENT[self.dtype]
        values = self.raw().view(kind)
        bits = kind(mask)
        chunks = (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
        return sum(int(np.count_nonzero((chunk & bits) == bits)) for chunk in chunks)


def read_folder(folder: Path) -> dict[str, TensorInfo]:
    """Every tensor of a model folder's `*.safetensors`; raises `JobError` for a missing or damaged file."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise JobError(f"{folder}: no *.safetensors file", remedy="give a merged model folder")
    return {info.name: info for file in files for info in read_header(file)}


def read_header(file: Path) -> Iterator[TensorInfo]:
    """The tensors of one file; raises `JobError` when the header is damaged or the file cut short."""
    length = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        start = 8 + (struct.unpack("<Q", head)[0] if len(head) == 8 else length)
        if start > length:
            raise _damaged(file, "the header is cut short")
        try:
            header = json.loads(stream.read(start - 8))
        except ValueError:
            raise _damaged(file, "the header is not JSON") from None
    header.pop("__metadata__", None)
    for name, entry in header.items():
        info = _info(name, entry, file, start)
        if info.offset + info.size > length:
            raise _damaged(file, f"{name} ends behind the file's end")
        yield info


def _info(name: str, entry: dict[str, Any], file: Path, start: int) -> TensorInfo:
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    if end - begin != BYTES.get(dtype, 0) * int(np.prod(shape, dtype=np.int64)):
        raise _damaged(file, f"{name}: {end - begin} bytes do not hold {dtype} {list(shape)}")
    return TensorInfo(name, dtype, shape, file, start + begin, end - begin)


def _damaged(file: Path, reason: str) -> JobError:
    return JobError(f"{file}: damaged safetensors file ({reason})", remedy="merge or fetch the model again")
