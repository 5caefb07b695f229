"""Digests of files that come from outside the store, so that changed files make a new stage key."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import fsspec

from appo_core.config import DataSettings, FileSource, LocalModel
from appo_core.config.merge import CheckpointFolder
from appo_core.config.model import TinyModel
from appo_core.jobs.contract import JobError
from appo_core.merging.layouts import ADAPTER, Layout, opened, recognise
from tasks.errors import StageError


def data_sources(settings: DataSettings) -> dict[str, str]:
    """Path -> digest of every file the data stage will read; raises `StageError` for one that is not there."""
    source = settings.source
    if not isinstance(source, FileSource):
        return {}
    single = (source.sft, source.benchmarks, source.corpus, source.search_cache)
    paths = [*source.rl_train, *source.rl_valid, *(path for path in single if path)]
    return {path: digest(path) for path in paths}


def model_sources(settings: TinyModel | LocalModel) -> dict[str, str]:
    """Path -> digest of a model folder; raises `StageError` when it is no Hugging Face model."""
    if isinstance(settings, TinyModel):
        return {}
    folder = Path(settings.path)
    if not (folder / "config.json").is_file():
        message = f"base_model.path: {folder} holds no config.json"
        raise StageError(message, remedy="name a Hugging Face model folder", bad_input=True)
    return {settings.path: digest(settings.path)}


def merge_sources(source: CheckpointFolder, *, base_given: bool) -> dict[str, str]:
    """Path -> digest of the weights to merge, and of the base model below an adapter unless an input gives it.

    Raises `StageError` when nothing that can be merged is there.
    """
    try:
        layout = recognise(source.path)
        files, _ = opened(source.path)
        found = {source.path: _digest(files, layout.folder, layout.names)}
        base = source.base or (_named_base(files, layout) if layout.kind == "adapter" else None)
        if layout.kind == "adapter" and not base_given and base:
            opened(base)
            found[base] = digest(base)
    except JobError as error:
        raise StageError.of(error) from None
    return found


def _named_base(files: Any, layout: Layout) -> str | None:
    """The base model that an adapter names, if it is a folder or URL that can be read from here."""
    name = next(name for name in layout.names if name.endswith(ADAPTER))
    try:
        base = json.loads(files.cat_file(f"{layout.folder}/{name}")).get("base_model_name_or_path")
        opened(str(base))
    except (JobError, ValueError):
        return None  # the job says that the base model is missing
    return str(base)


def digest(url: str) -> str:
    """sha256 over the content of a local file or folder; over the server's own checksums for a remote one."""
    try:
        files, path = fsspec.core.url_to_fs(url)
        names = sorted(files.find(path)) if files.isdir(path) else [path] if files.exists(path) else []
    except (OSError, ValueError, ImportError) as error:
        raise StageError(f"{url}: {error}", remedy="check the path and its credentials", bad_input=True) from None
    if not names:
        message = f"{url} does not exist, or holds no file"
        raise StageError(message, remedy="check the path in the data or base_model settings", bad_input=True)
    return _digest(files, path, [name.removeprefix(path) for name in names])


def _digest(files: Any, folder: str, names: Sequence[str]) -> str:
    """Of files by their names behind `folder`."""
    local = "file" in files.protocol or "local" in files.protocol
    paths = {name: f"{folder}/{name.removeprefix('/')}" if name else folder for name in names}
    return _combine((name, _content(path) if local else str(files.ukey(path))) for name, path in paths.items())


def _content(path: str) -> str:
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _combine(parts: Iterable[tuple[str, str]]) -> str:
    total = hashlib.sha256()
    for name, value in parts:
        total.update(f"{value} {name}\n".encode())
    return total.hexdigest()
