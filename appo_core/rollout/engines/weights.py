"""Weights on their way to an engine in another process."""

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from appo_core.rollout.engines.base import EngineError

if TYPE_CHECKING:
    from torch import Tensor

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - memory, not a predictable file: the name is random
TIED_HEAD = "lm_head.weight"


def expected_shapes(model: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every weight in a model folder's safetensors files, by name.

    Raises `EngineError` when the folder holds none, or one that cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(model.glob("*.safetensors")):
        try:
            with safe_open(str(path), framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise EngineError(f"{path}: not a readable safetensors file ({error}); fetch it again") from error
    if not shapes:
        raise EngineError(f"{model}: no *.safetensors; give a Hugging Face model folder with its weights")
    return shapes


def write_weights(weights: "Iterable[tuple[str, Tensor]]", shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """Write named tensors to one safetensors file, in shared memory if it has the room; the caller removes it.

    `shapes` are the names and shapes the engine's model has. Raises `EngineError` when the weights are not exactly
    those (an lm_head tied to the embedding may be given or left out), and when there is no room.
    """
    from safetensors.torch import save_file

    tensors = _on_cpu(weights)
    if TIED_HEAD not in shapes:
        tensors.pop(TIED_HEAD, None)
    _check(tensors, shapes)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    with tempfile.NamedTemporaryFile(
        prefix="appo-weights-", suffix=".safetensors", dir=_folder(size), delete=False
    ) as file:
        path = Path(file.name)
    try:
        save_file(tensors, str(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _check(tensors: "Mapping[str, Tensor]", shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Engines ignore what is missing: refuse it here."""
    both = set(tensors) & set(shapes)
    for problem, names in (
        ("missing", set(shapes) - both),
        ("unknown", set(tensors) - both),
        ("of another shape", {name for name in both if tuple(tensors[name].shape) != shapes[name]}),
    ):
        if names:
            raise EngineError(f"weights were not taken: {len(names)} {problem}, first {min(names)}")


def _on_cpu(weights: "Iterable[tuple[str, Tensor]]") -> "dict[str, Tensor]":
    """Contiguous CPU copies by name, no two of which share storage."""
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in weights:
        if name in tensors:
            raise EngineError(f"weights: {name} is given twice")
        whole = tensor.detach().cpu().contiguous()
        if whole.untyped_storage().data_ptr() in storages:
            whole = whole.clone()
        storages.add(whole.untyped_storage().data_ptr())
        tensors[name] = whole
    return tensors


def _folder(size: int) -> Path:
    """Where `size` bytes fit: shared memory, else the temporary folder."""
    for folder in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        if folder.is_dir() and shutil.disk_usage(folder).free > size * 1.05:
            return folder
    raise EngineError(f"weights: no room for {size / 2**20:.0f} MiB in {SHARED_MEMORY} or {tempfile.gettempdir()}")
