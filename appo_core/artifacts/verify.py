"""Checks a store against its manifests: every byte that readers would trust."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appo_core.artifacts.errors import ArtifactNotFound, StoreError
from appo_core.artifacts.manifest import FileEntry, Manifest
from appo_core.artifacts.refs import KINDS, ArtifactRef
from appo_core.artifacts.transfer import THREADS, checked_chunks

if TYPE_CHECKING:
    from appo_core.artifacts.store import Store


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a store; `path` is empty when it concerns the manifest or an alias."""

    ref: ArtifactRef
    path: str
    message: str

    def __str__(self) -> str:
        return self.message


def verify(store: "Store", ref: ArtifactRef | None = None) -> Sequence[Problem]:
    """Problems of one artifact, or of all artifacts and aliases; empty when every sha256 is right.

    A fault that may pass (an unreachable server) is raised as `StoreError`, since it says nothing about the artifacts.
    """
    refs = [store.find(ref).ref] if ref else store.refs()
    found = [problem for one in refs for problem in _check_version(store, one)]
    return found if ref else [*found, *_check_aliases(store)]


def _check_version(store: "Store", ref: ArtifactRef) -> Iterator[Problem]:
    try:
        manifest = store.read_manifest(ref)
    except StoreError as error:
        yield _problem(ref, "", error)
        return
    if manifest is None:
        yield Problem(ref, "", f"{ref} has a folder but no manifest; remove the folder")
        return
    with ThreadPoolExecutor(THREADS) as pool:
        problems = list(pool.map(lambda entry: _check_file(store, manifest, entry), manifest.files))
    yield from (problem for problem in problems if problem)
    yield from _check_parents(store, manifest)


def _check_file(store: "Store", manifest: Manifest, entry: FileEntry) -> Problem | None:
    try:
        for _ in checked_chunks(store.backend, manifest, entry):
            pass
    except StoreError as error:
        return _problem(manifest.ref, entry.path, error)
    return None


def _check_parents(store: "Store", manifest: Manifest) -> Iterator[Problem]:
    for parent in manifest.parents:
        try:
            found = store.read_manifest(parent.ref)
        except StoreError as error:
            yield _problem(manifest.ref, "", error)
            continue
        if found is None:
            yield Problem(
                manifest.ref, "", f"{manifest.ref}: its parent {parent.ref} ({parent.role}) is not in the store"
            )
        elif found.digest != parent.digest:
            yield Problem(
                manifest.ref, "", f"{manifest.ref}: its parent {parent.ref} has another digest than it had then"
            )


def _check_aliases(store: "Store") -> Iterator[Problem]:
    for kind in KINDS:
        for name in store.backend.names(kind):
            for file in store.backend.names(f"{kind}/{name}/aliases"):
                ref = ArtifactRef(kind, name, file.removesuffix(".json"))
                try:
                    store.find(ref)
                except ArtifactNotFound:
                    yield Problem(ref, "", f"alias {ref} points to a version that is not there; move it")
                except StoreError as error:
                    yield _problem(ref, "", error)


def _problem(ref: ArtifactRef, path: str, error: StoreError) -> Problem:
    if error.transient:
        raise error
    return Problem(ref, path, str(error))
