"""The artifact store: immutable, verified, traceable versions of everything that passes between stages."""

from appo_core.artifacts.errors import AliasConflict, ArtifactNotFound, StoreError
from appo_core.artifacts.keys import code_digest, stage_key, version_of
from appo_core.artifacts.manifest import Draft, FileEntry, Manifest, ParentRef, Producer
from appo_core.artifacts.refs import KINDS, LATEST, ArtifactRef
from appo_core.artifacts.store import Store

__all__ = [
    "KINDS",
    "LATEST",
    "AliasConflict",
    "ArtifactNotFound",
    "ArtifactRef",
    "Draft",
    "FileEntry",
    "Manifest",
    "ParentRef",
    "Producer",
    "Store",
    "StoreError",
    "code_digest",
    "stage_key",
    "version_of",
]
