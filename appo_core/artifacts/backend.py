"""What a store needs of the place that holds its objects."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PART_BYTES = 8 * 2**20
"""Size of one read, and of one part of a large upload."""


class Tagged(NamedTuple):
    """An object's bytes, and a tag that changes whenever they do."""

    body: bytes
    tag: str


class Backend(ABC):
    """Objects under one root; keys are relative paths with `/`.

    Absent objects raise `FileNotFoundError`; every other fault of the place is raised as `StoreError`.
    """

    @abstractmethod
    def read(self, key: str) -> bytes:
        """All bytes of a small object."""

    @abstractmethod
    def read_tagged(self, key: str) -> Tagged:
        """Bytes and tag of a small object; the bytes are at least as new as the tag."""

    @abstractmethod
    def create(self, key: str, body: bytes) -> bool:
        """Writes a new object, all or nothing; False when there is one already.

        `body` must be unique to the writer, so that a repeated request can tell its own first try from a rival's.
        """

    @abstractmethod
    def swap(self, key: str, body: bytes, tag: str) -> bool:
        """Replaces an object if it still has `tag`; False when it was changed or removed."""

    @abstractmethod
    def upload(self, source: Path, key: str) -> tuple[int, str]:
        """Copies a file into the store; (bytes, sha256) of exactly what was sent."""

    @abstractmethod
    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """The bytes of an object of about `size` bytes, in order, in parts of at most `PART_BYTES`."""

    @abstractmethod
    def names(self, prefix: str) -> list[str]:
        """Sorted names directly under a folder key; empty when there is none."""

    @abstractmethod
    def remove(self, prefix: str) -> None:
        """Removes all objects under a folder key."""


def read_parts(source: Path, size: int = PART_BYTES) -> Iterator[bytes]:
    """A local file in parts."""
    with source.open("rb") as handle:
        while part := handle.read(size):
            yield part
