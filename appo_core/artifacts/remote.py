"""A store on any other fsspec file system (gs://, az://, memory://, ...)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsspec import AbstractFileSystem

from appo_core.artifacts.backend import PART_BYTES, Backend, Tagged, read_parts
from appo_core.artifacts.errors import StoreError


class RemoteBackend(Backend):
    """Relies on fsspec's create mode for publication, which the store probes before it writes.

    fsspec has no conditional replacement, so two aliases moved at the same instant may both seem to succeed here.
    """

    def __init__(self, files: AbstractFileSystem, root: str) -> None:
        self.files, self.root = files, root.rstrip("/")

    def read(self, key: str) -> bytes:
        """All bytes of an object."""
        with self._faults():
            return self.files.cat_file(self._path(key))

    def read_tagged(self, key: str) -> Tagged:
        """Bytes and their sha256."""
        body = self.read(key)
        return Tagged(body, hashlib.sha256(body).hexdigest())

    def create(self, key: str, body: bytes) -> bool:
        """fsspec's exclusive creation."""
        with self._faults():
            self._make_parent(key)
            try:
                self.files.pipe_file(self._path(key), body, mode="create")
            except FileExistsError:
                return self.read(key) == body
            return True

    def swap(self, key: str, body: bytes, tag: str) -> bool:
        """Compares, then replaces: not atomic."""
        try:
            if self.read_tagged(key).tag != tag:
                return False
        except FileNotFoundError:
            return False
        with self._faults():
            self.files.pipe_file(self._path(key), body)
        return True

    def upload(self, source: Path, key: str) -> tuple[int, str]:
        """Streams the file."""
        digest, size = hashlib.sha256(), 0
        with self._faults():
            self._make_parent(key)
            with self.files.open(self._path(key), "wb") as handle:
                for part in read_parts(source):
                    digest.update(part)
                    size += handle.write(part)
        return size, digest.hexdigest()

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """Streams the object."""
        del size
        with self._faults(), self.files.open(self._path(key), "rb") as handle:
            while part := handle.read(PART_BYTES):
                yield part

    def names(self, prefix: str) -> list[str]:
        """Names of objects and folders."""
        with self._faults():
            self.files.invalidate_cache()
            try:
                found = self.files.ls(self._path(prefix), detail=False)
            except FileNotFoundError:
                return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    def remove(self, prefix: str) -> None:
        """Removes a folder."""
        with self._faults(), suppress(FileNotFoundError):
            self.files.rm(self._path(prefix), recursive=True)

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _make_parent(self, key: str) -> None:
        self.files.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, StoreError):
            raise
        except PermissionError as error:
            raise StoreError(f"store {self.root}: access denied ({error})", remedy="check the credentials") from None
        except Exception as error:  # noqa: BLE001  each file system has its own errors
            raise StoreError(
                f"store {self.root}: {type(error).__name__}: {error}", remedy="check it", transient=True
            ) from None
