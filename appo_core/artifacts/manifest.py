"""The manifest: what an artifact is made of, where it comes from, and the only thing a reader trusts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from appo_core.artifacts.refs import ArtifactRef, check_kind, check_name

MANIFEST_FILE = "MANIFEST.json"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Record):
    """One file: path relative to the artifact's root, with `/`."""

    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not path or path.startswith("/") or "\\" in path or {"", ".", ".."} & set(path.split("/")):
            raise ValueError(f"path '{path}' leaves the artifact")
        return path


class ParentRef(_Record):
    """An artifact that this one was made from, and the part it played (`model`, `data`, ...)."""

    kind: str
    name: str
    version: str
    digest: Sha256
    role: str

    @property
    def ref(self) -> ArtifactRef:
        """The parent's reference."""
        return ArtifactRef(self.kind, self.name, self.version)


class Producer(_Record):
    """What made an artifact."""

    flow: str = ""
    flow_run: str = ""
    task: str = ""
    task_version: str = ""
    code_digest: str = ""
    environment_digest: str = ""
    settings: dict[str, Any] = {}
    """The resolved configuration."""


class Manifest(_Record):
    """One published version; written last and never changed."""

    schema_version: Literal[1] = 1
    kind: str
    name: str
    version: str
    stage_key: Sha256
    created_at: str
    """UTC, ISO 8601."""
    files: tuple[FileEntry, ...]
    digest: Sha256
    """`files_digest` of `files`."""
    upload: str
    """Upload id: the files lie under `data/<upload>/`."""
    parents: tuple[ParentRef, ...] = ()
    producer: Producer = Producer()
    metrics: dict[str, Any] = {}
    checks: dict[str, Any] = {}
    licence: str = ""
    source: str = ""
    """Where the data comes from."""
    owner: str
    """Token of the writer: tells two writers of one version apart."""

    @property
    def ref(self) -> ArtifactRef:
        """The reference of exactly this version."""
        return ArtifactRef(self.kind, self.name, self.version)

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry in self.files)

    def parent(self, role: str) -> ParentRef:
        """This artifact as the parent of another."""
        return ParentRef(kind=self.kind, name=self.name, version=self.version, digest=self.digest, role=role)

    def dump(self) -> bytes:
        """The manifest as the bytes that are stored."""
        return self.model_dump_json(indent=1).encode()


@dataclass(frozen=True)
class Draft:
    """An artifact about to be published: everything but what publishing finds out.

    Raises `StoreError` for an unknown kind or a name that is not allowed.
    """

    kind: str
    name: str
    stage_key: str
    folder: Path
    parents: Sequence[ParentRef] = ()
    producer: Producer = field(default_factory=Producer)
    metrics: dict[str, Any] = field(default_factory=dict)
    checks: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        check_kind(self.kind)
        check_name("artifact name", self.name)


def files_digest(files: Sequence[FileEntry]) -> str:
    """sha256 over path, size and sha256 of every file, by path: equal digests mean equal content."""
    digest = hashlib.sha256()
    for entry in sorted(files, key=lambda entry: entry.path):
        digest.update(f"{entry.sha256} {entry.bytes} {entry.path}\n".encode())
    return digest.hexdigest()


def utc_now() -> str:
    """The time, UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
