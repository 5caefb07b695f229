"""Keys of stage results: equal keys mean equal work, so the result is published once and reused everywhere."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

from appo_core.artifacts.errors import StoreError


class Parent(Protocol):
    """What a stage key needs of a parent: the role it plays and the digest of its files."""

    @property
    def role(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


class ParentDigest(NamedTuple):
    """The smallest `Parent`."""

    role: str
    digest: str


def stage_key(
    stage: str, task_version: str, code_digest: str, settings: Mapping[str, Any], parents: Sequence[Parent] = ()
) -> str:
    """sha256 (64 hexadecimal digits) over everything that decides a stage's result.

    Neither the order of mapping keys nor that of `parents` matters. Raises `StoreError` for settings that are no JSON.
    """
    content = {
        "stage": stage,
        "task_version": task_version,
        "code_digest": code_digest,
        "settings": settings,
        "parents": sorted([parent.role, parent.digest] for parent in parents),
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def version_of(key: str) -> str:
    """The version of the artifact that a stage key names: looking one up is a single read."""
    return f"v{key[:12]}"


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no blanks; paths, sets and pydantic models become plain JSON.

    Raises `StoreError` for what has no JSON form: NaN, infinities, arbitrary objects.
    """
    try:
        text = json.dumps(
            value, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"settings cannot be written as JSON: {error}", remedy="use finite numbers and plain values"
        ) from None
    return text.encode()


def _plain(value: Any) -> Any:
    """JSON form of a value that is none yet; sets are sorted, their own order changes from process to process."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=canonical_json)
    if isinstance(value, PurePath):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def code_digest(*modules: str) -> str:
    """sha256 over the source files of modules and packages (sub-packages included), without importing them.

    Covers every file of a package except `__pycache__` and hidden files: prompts and tables decide results too.
    """
    files: dict[str, Path] = {}
    for module in modules:
        files.update(_sources(module))
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name].read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _sources(module: str) -> Iterator[tuple[str, Path]]:
    """(relative path, file) of each source file of a module; parents are searched, never executed."""
    origin, folders = _locate(module)
    base = module.replace(".", "/")
    if not folders and origin:
        yield f"{base}.py", Path(origin)
    for folder in map(Path, folders):
        yield from ((f"{base}/{file.relative_to(folder).as_posix()}", file) for file in _files(folder))


def _files(folder: Path) -> Iterable[Path]:
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if file.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in parts):
            yield file


def _locate(module: str) -> tuple[str | None, list[str]]:
    """Source file and package folders of a module."""
    path: list[str] | None = None
    origin: str | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        if spec is None:
            raise StoreError(f"module '{module}' has no source to digest", remedy="check its name and sys.path")
        origin = spec.origin
        path = list(spec.submodule_search_locations or [])
    return origin, path or []
