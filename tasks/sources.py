"""Digests of files that come from outside the store, so that changed files make a new stage key."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import fsspec

from appo_core.config import DataSettings, FileSource, LocalModel
from appo_core.config.model import TinyModel
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
    local = "file" in files.protocol or "local" in files.protocol
    parts = ((name.removeprefix(path), _content(name) if local else str(files.ukey(name))) for name in names)
    return _combine(parts)


def _content(path: str) -> str:
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _combine(parts: Iterable[tuple[str, str]]) -> str:
    total = hashlib.sha256()
    for name, value in parts:
        total.update(f"{value} {name}\n".encode())
    return total.hexdigest()
