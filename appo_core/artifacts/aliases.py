"""Aliases: the only objects of a store that ever change, and only by compare-and-swap."""

from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from appo_core.artifacts.backend import Backend
from appo_core.artifacts.errors import AliasConflict, StoreError
from appo_core.artifacts.manifest import Manifest, utc_now
from appo_core.artifacts.refs import ArtifactRef, is_version


class Alias(BaseModel):
    """What an alias file holds; `token` makes every state unique, so a tag never comes back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    created_at: str = ""
    """When the version was published; `latest` moves forward only."""
    moved_at: str
    token: str

    def dump(self) -> bytes:
        """The alias as the bytes that are stored."""
        return self.model_dump_json(indent=1).encode()


def resolve(backend: Backend, ref: ArtifactRef) -> str | None:
    """The version that the alias `ref.version` points to, or None."""
    try:
        return _parse(ref, backend.read(_key(ref))).version
    except FileNotFoundError:
        return None


def move(backend: Backend, ref: ArtifactRef, version: str, expected: str | None) -> None:
    """Points the alias `ref.version` to `version` if it points to `expected` now; raises `AliasConflict` otherwise."""
    if is_version(ref.version):
        raise StoreError(f"'{ref.version}' is a version, not an alias", remedy="choose a name such as champion")
    try:
        body, tag = backend.read_tagged(_key(ref))
    except FileNotFoundError:
        if expected is None and backend.create(_key(ref), _new(version).dump()):
            return
        raise _conflict(ref, expected, resolve(backend, ref)) from None
    current = _parse(ref, body).version
    if current != expected or not backend.swap(_key(ref), _new(version).dump(), tag):
        raise _conflict(ref, expected, resolve(backend, ref))


def advance(backend: Backend, manifest: Manifest, alias: str) -> None:
    """Points an alias to a manifest unless it points to a newer one already; of many writers, the newest wins."""
    ref = ArtifactRef(manifest.kind, manifest.name, alias)
    while True:
        new = _new(manifest.version, manifest.created_at).dump()
        try:
            body, tag = backend.read_tagged(_key(ref))
        except FileNotFoundError:
            if backend.create(_key(ref), new):
                return
            continue
        if _parse(ref, body).created_at >= manifest.created_at or backend.swap(_key(ref), new, tag):
            return


def _new(version: str, created_at: str = "") -> Alias:
    return Alias(version=version, created_at=created_at, moved_at=utc_now(), token=uuid4().hex)


def _key(ref: ArtifactRef) -> str:
    return f"{ref.kind}/{ref.name}/aliases/{ref.version}.json"


def _parse(ref: ArtifactRef, body: bytes) -> Alias:
    try:
        return Alias.model_validate_json(body)
    except ValidationError:
        raise StoreError(f"alias {ref} is damaged", remedy="remove its file and move the alias again") from None


def _conflict(ref: ArtifactRef, expected: str | None, current: str | None) -> AliasConflict:
    return AliasConflict(
        f"alias {ref} points to {current or 'nothing'}, not to {expected or 'nothing'}",
        remedy="look at it again, then move it",
    )
