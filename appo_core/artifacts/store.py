"""The artifact store: immutable versions under any fsspec URL, published whole or not at all."""

import difflib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from appo_core.artifacts import aliases, transfer
from appo_core.artifacts.backend import Backend
from appo_core.artifacts.errors import ArtifactNotFound, StoreError
from appo_core.artifacts.keys import version_of
from appo_core.artifacts.manifest import MANIFEST_FILE, Draft, FileEntry, Manifest, files_digest, utc_now
from appo_core.artifacts.opening import open_backend
from appo_core.artifacts.refs import KINDS, LATEST, ArtifactRef, check_kind
from appo_core.artifacts.verify import Problem, verify

_LOG = logging.getLogger(__name__)


class Store:
    """Artifacts under one root. Threads may share a store; processes open their own.

    Every method raises `StoreError` (cause and remedy in one line) when the place of the store fails.
    """

    def __init__(self, url: str, backend: Backend) -> None:
        self.url, self.backend = url, backend
        self._writable = False

    @classmethod
    def open(cls, url: str, *, storage_options: Mapping[str, Any] | None = None) -> "Store":
        """The store at `s3://bucket/prefix`, `file:///folder`, a plain path or another fsspec URL.

        S3 takes its endpoint from `storage_options` or AWS_ENDPOINT_URL, its credentials from the environment.
        """
        return cls(url, open_backend(url, dict(storage_options or {})))

    def publish(self, draft: Draft) -> Manifest:
        """Uploads a folder and makes it visible at once; if the version is there already, that one is returned.

        The alias `latest` follows the newest publication.
        """
        manifest = self.find_by_key(draft.kind, draft.name, draft.stage_key) or self._publish(draft)
        aliases.advance(self.backend, manifest, LATEST)
        return manifest

    def require_writable(self) -> None:
        """Raise `StoreError` for a place that cannot be written, or where two writers of one version could both win."""
        if self._writable:
            return
        folder = f".probe/{uuid4().hex}"
        wins = [self.backend.create(f"{folder}/probe", uuid4().bytes) for _ in range(2)]
        self._discard(folder)
        if wins != [True, False]:
            raise StoreError(
                f"store {self.url} does not honour create-only writes", remedy="use a server with conditional puts"
            )
        self._writable = True

    def exists(self, ref: ArtifactRef) -> bool:
        """Whether the version, or what the alias points to, is published."""
        try:
            self.find(ref)
        except ArtifactNotFound:
            return False
        return True

    def find(self, ref: ArtifactRef | str) -> Manifest:
        """The manifest of a version or alias; raises `ArtifactNotFound` with the names or versions that come near."""
        ref = ArtifactRef.parse(ref) if isinstance(ref, str) else ref
        version = aliases.resolve(self.backend, ref) if ref.is_alias else ref.version
        found = self.read_manifest(ArtifactRef(ref.kind, ref.name, version)) if version else None
        if found is None:
            raise self._not_found(ref)
        return found

    def find_by_key(self, kind: str, name: str, stage_key: str) -> Manifest | None:
        """The result of a stage key, or None: one read."""
        found = self.read_manifest(ArtifactRef(kind, name, version_of(stage_key)))
        if found and found.stage_key != stage_key:
            raise StoreError(f"{found.ref} belongs to another stage key", remedy="publish under another name")
        return found

    def fetch(self, manifest: Manifest, cache: Path) -> Path:
        """Local folder with the artifact's verified files: `<cache>/<digest>`. Do not write into it."""
        return transfer.fetch(self.backend, manifest, cache)

    def read_file(self, manifest: Manifest, path: str) -> bytes:
        """The verified bytes of one file."""
        for entry in manifest.files:
            if entry.path == path:
                return b"".join(transfer.checked_chunks(self.backend, manifest, entry))
        known = ", ".join(entry.path for entry in manifest.files[:8])
        raise StoreError(f"{manifest.ref} has no file '{path}'", remedy=f"it has {known}")

    def move_alias(self, kind: str, name: str, alias: str, version: str, *, expected: str | None = None) -> None:
        """Points an alias to a published version, only if it points to `expected` now (None: nowhere yet).

        Raises `AliasConflict` when it points elsewhere, `ArtifactNotFound` when the version is not published.
        """
        self.find(ArtifactRef(kind, name, version))
        aliases.move(self.backend, ArtifactRef(kind, name, alias), version, expected)

    def alias(self, kind: str, name: str, alias: str) -> str | None:
        """The version that an alias points to, or None."""
        return aliases.resolve(self.backend, ArtifactRef(kind, name, alias))

    def list(self, kind: str | None = None, name: str | None = None) -> Sequence[Manifest]:
        """All readable manifests of a kind and name, oldest first; `verify` reports the others."""
        refs = self.refs(kind, name)
        with ThreadPoolExecutor(8) as pool:
            found = [manifest for manifest in pool.map(self._readable, refs) if manifest]
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.ref))

    def verify(self, ref: ArtifactRef | None = None) -> Sequence[Problem]:
        """What is missing or damaged, by reading every byte of one artifact or of the whole store."""
        return verify(self, ref)

    def refs(self, kind: str | None = None, name: str | None = None) -> Sequence[ArtifactRef]:
        """The versions that are there, readable or not."""
        if kind:
            check_kind(kind)
        names = [(one, found) for one in ([kind] if kind else KINDS) for found in self._names(one, name)]
        return [ArtifactRef(*pair, version) for pair in names for version in self._versions(*pair)]

    def read_manifest(self, ref: ArtifactRef) -> Manifest | None:
        """The manifest of exactly this version, or None; raises `StoreError` when it is damaged."""
        try:
            manifest = Manifest.model_validate_json(self.backend.read(_manifest_key(ref)))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise _damaged(ref, f"{where}: {first['msg']}") from None
        if manifest.ref != ref or files_digest(manifest.files) != manifest.digest:
            raise _damaged(ref, "it names another artifact, or its digest is not that of its files")
        return manifest

    def _publish(self, draft: Draft) -> Manifest:
        self.require_writable()
        upload = uuid4().hex
        data = f"{draft.kind}/{draft.name}/data/{upload}"
        try:
            manifest = _manifest(draft, upload, transfer.upload_folder(self.backend, draft.folder, data))
        except BaseException:
            self._discard(data)
            raise
        if self.backend.create(_manifest_key(manifest.ref), manifest.dump()):
            return manifest
        self._discard(data)
        return self.find(manifest.ref)

    def _discard(self, data: str) -> None:
        """Removes an upload that no manifest names; what cannot be removed now stays invisible."""
        with suppress(StoreError):
            self.backend.remove(data)

    def _readable(self, ref: ArtifactRef) -> Manifest | None:
        try:
            return self.read_manifest(ref)
        except StoreError as error:
            if error.transient:
                raise
            _LOG.warning("%s", error)
            return None

    def _names(self, kind: str, name: str | None) -> Sequence[str]:
        return [name] if name else self.backend.names(kind)

    def _versions(self, kind: str, name: str) -> Sequence[str]:
        return self.backend.names(f"{kind}/{name}/versions")

    def _not_found(self, ref: ArtifactRef) -> ArtifactNotFound:
        versions = [manifest.version for manifest in self.list(ref.kind, ref.name)]
        if versions:
            held = self.backend.names(f"{ref.kind}/{ref.name}/aliases")
            near = ", ".join([*(name.removesuffix(".json") for name in held), *versions[-5:]])
            return ArtifactNotFound(f"{ref} is not in {self.url}", remedy=f"{ref.kind}/{ref.name} has {near}")
        names = self.backend.names(ref.kind)
        near = ", ".join(difflib.get_close_matches(ref.name, names, n=5, cutoff=0.4) or names[:5])
        remedy = f"did you mean {near}?" if near else f"no {ref.kind} is published there yet; run its stage first"
        return ArtifactNotFound(f"{ref} is not in {self.url}", remedy=remedy)


def _manifest_key(ref: ArtifactRef) -> str:
    return f"{ref.kind}/{ref.name}/versions/{ref.version}/{MANIFEST_FILE}"


def _manifest(draft: Draft, upload: str, files: tuple[FileEntry, ...]) -> Manifest:
    return Manifest(
        kind=draft.kind,
        name=draft.name,
        version=version_of(draft.stage_key),
        stage_key=draft.stage_key,
        created_at=utc_now(),
        files=files,
        digest=files_digest(files),
        upload=upload,
        parents=tuple(draft.parents),
        producer=draft.producer,
        metrics=draft.metrics,
        checks=draft.checks,
        licence=draft.licence,
        source=draft.source,
        owner=uuid4().hex,
    )


def _damaged(ref: ArtifactRef, why: str) -> StoreError:
    return StoreError(f"manifest of {ref} is damaged: {why}", remedy="remove that version and run its stage again")
