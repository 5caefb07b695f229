"""A store in a folder, on a disk or a network file system that all writers share."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from appo_core.artifacts.backend import Backend, Tagged, read_parts
from appo_core.artifacts.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


class LocalBackend(Backend):
    """Creates with a hard link to a synced temporary file, which exactly one writer can place; swaps under flock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> bytes:
        """All bytes of a file."""
        with self._faults():
            return (self.root / key).read_bytes()

    def read_tagged(self, key: str) -> Tagged:
        """Bytes and their sha256."""
        body = self.read(key)
        return Tagged(body, hashlib.sha256(body).hexdigest())

    def create(self, key: str, body: bytes) -> bool:
        """Links a complete, synced file into place."""
        with self._faults(), self._temporary(key, body) as temporary:
            try:
                os.link(temporary, self.root / key)
            except FileExistsError:
                return False
            _sync_folder(temporary.parent)
            return True

    def swap(self, key: str, body: bytes, tag: str) -> bool:
        """Compares and replaces while holding the lock file beside the object."""
        with self._faults(), self._locked(key):
            try:
                if self.read_tagged(key).tag != tag:
                    return False
            except FileNotFoundError:
                return False
            with self._temporary(key, body) as temporary:
                temporary.replace(self.root / key)
                _sync_folder(temporary.parent)
            return True

    def upload(self, source: Path, key: str) -> tuple[int, str]:
        """Copies and syncs."""
        target, digest, size = self.root / key, hashlib.sha256(), 0
        with self._faults():
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as handle:
                for part in read_parts(source):
                    digest.update(part)
                    size += handle.write(part)
                os.fsync(handle.fileno())
        return size, digest.hexdigest()

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """The file in parts."""
        del size
        with self._faults():
            yield from read_parts(self.root / key)

    def names(self, prefix: str) -> list[str]:
        """Names of the files and folders, without hidden ones."""
        with self._faults():
            try:
                return sorted(path.name for path in (self.root / prefix).iterdir() if not path.name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def remove(self, prefix: str) -> None:
        """Removes a folder."""
        with self._faults():
            shutil.rmtree(self.root / prefix, ignore_errors=True)

    @contextmanager
    def _temporary(self, key: str, body: bytes) -> Iterator[Path]:
        """A synced hidden file beside the key, gone afterwards."""
        folder = (self.root / key).parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{uuid4().hex}.part"
        try:
            with temporary.open("xb") as handle:
                handle.write(body)
                handle.flush()
                os.fsync(handle.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Holds the lock of one key; a dead holder's lock is free at once."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with (path.parent / f".{path.name}.lock").open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns what the file system refuses into a `StoreError`."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _explain(error, self.root) from None


def _explain(error: OSError, root: Path) -> StoreError:
    where = f"store {root}"
    if error.errno in _FULL:
        return StoreError(f"{where}: no space left", remedy="free some disk space and run again", transient=True)
    if error.errno in _CLOSED:
        return StoreError(
            f"{where}: {error.filename or ''} is not accessible",
            remedy="give this user write access or choose another store",
        )
    return StoreError(f"{where}: {error}", remedy="check the disk", transient=True)


def _sync_folder(folder: Path) -> None:
    """Makes a new name survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
