"""Files on their way into a store and out of it; every byte is hashed as it passes."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from appo_core.artifacts.backend import Backend
from appo_core.artifacts.errors import StoreError
from appo_core.artifacts.manifest import FileEntry, Manifest

THREADS = 4
"""Files in transfer at the same time."""


def upload_folder(backend: Backend, folder: Path, prefix: str) -> tuple[FileEntry, ...]:
    """Copies every file below `folder` to `prefix`; raises `StoreError` when there is none."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise StoreError(f"{folder} holds no files", remedy="publish only the output of a stage that succeeded")

    def send(path: str) -> FileEntry:
        size, sha256 = backend.upload(folder / path, f"{prefix}/{path}")
        return FileEntry(path=path, bytes=size, sha256=sha256)

    with ThreadPoolExecutor(THREADS) as pool:
        return tuple(pool.map(send, paths))


def object_key(manifest: Manifest, path: str) -> str:
    """Where one file of an artifact lies."""
    return f"{manifest.kind}/{manifest.name}/data/{manifest.upload}/{path}"


def checked_chunks(backend: Backend, manifest: Manifest, entry: FileEntry) -> Iterator[bytes]:
    """The parts of one file; raises `StoreError` at the end when they are not what the manifest names."""
    digest = hashlib.sha256()
    try:
        for part in backend.chunks(object_key(manifest, entry.path), entry.bytes):
            digest.update(part)
            yield part
    except FileNotFoundError:
        raise _damaged(manifest, entry, "is missing from the store") from None
    if digest.hexdigest() != entry.sha256:
        raise _damaged(manifest, entry, "does not have the sha256 of its manifest")


def fetch(backend: Backend, manifest: Manifest, cache: Path) -> Path:
    """A local folder with the artifact's files, `<cache>/<digest>`; intact ones are used again.

    Files are verified before the folder appears. Processes may fetch the same artifact at the same time.
    """
    target, seal = cache / manifest.digest, cache / f"{manifest.digest}.json"
    if target.is_dir() and is_intact(target, manifest, seal):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f".{manifest.digest[:12]}-{uuid4().hex}"
    try:
        _download(backend, manifest, partial)
        _place(partial, target, manifest, seal)
    except OSError as error:
        raise StoreError(
            f"cache {cache}: {error}", remedy="free disk space or choose another cache", transient=True
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _download(backend: Backend, manifest: Manifest, folder: Path) -> None:
    def receive(entry: FileEntry) -> None:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as handle:
            for part in checked_chunks(backend, manifest, entry):
                handle.write(part)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(receive, manifest.files))


def _place(partial: Path, target: Path, manifest: Manifest, seal: Path) -> None:
    """Moves the complete folder into place; what another process placed meanwhile is kept if it is intact."""
    if target.exists() and not is_intact(target, manifest, seal):
        target.rename(partial.with_name(f"{partial.name}-old"))
        shutil.rmtree(partial.with_name(f"{partial.name}-old"), ignore_errors=True)
    try:
        partial.rename(target)
    except OSError:
        if not is_intact(target, manifest, seal):
            raise
    _write_seal(target, manifest, seal)


def is_intact(folder: Path, manifest: Manifest, seal: Path) -> bool:
    """Whether a cached folder holds the manifest's files; they are hashed again only if one was touched since."""
    try:
        if json.loads(seal.read_text()) == _stamps(folder, manifest):
            return True
    except (OSError, ValueError):
        pass
    if not all(_has_sha256(folder / entry.path, entry.sha256) for entry in manifest.files):
        return False
    _write_seal(folder, manifest, seal)
    return True


def _has_sha256(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _stamps(folder: Path, manifest: Manifest) -> dict[str, list[int]]:
    """Size, modification and change time of each file."""
    stats = {entry.path: (folder / entry.path).stat() for entry in manifest.files}
    return {path: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats.items()}


def _write_seal(folder: Path, manifest: Manifest, seal: Path) -> None:
    partial = seal.with_name(f".{seal.name}-{uuid4().hex}")
    partial.write_text(json.dumps(_stamps(folder, manifest)))
    partial.replace(seal)


def _damaged(manifest: Manifest, entry: FileEntry, what: str) -> StoreError:
    return StoreError(f"{manifest.ref}: {entry.path} {what}", remedy="publish the artifact again from its stage")
