"""The artifact store: immutable, verified, traceable versions of everything that passes between stages."""

from appo_core.artifacts.errors import AliasConflict, ArtifactNotFound, StoreError
from appo_core.artifacts.keys import code_digest, stage_key, version_of
from appo_core.artifacts.lineage import LineageNode, lineage, render_mermaid, render_text, to_json
from appo_core.artifacts.manifest import Draft, FileEntry, Manifest, ParentRef, Producer
from appo_core.artifacts.refs import KINDS, LATEST, ArtifactRef
from appo_core.artifacts.store import Store
from appo_core.artifacts.verify import Problem

__all__ = [
    "KINDS",
    "LATEST",
    "AliasConflict",
    "ArtifactNotFound",
    "ArtifactRef",
    "Draft",
    "FileEntry",
    "LineageNode",
    "Manifest",
    "ParentRef",
    "Problem",
    "Producer",
    "Store",
    "StoreError",
    "code_digest",
    "lineage",
    "render_mermaid",
    "render_text",
    "stage_key",
    "to_json",
    "version_of",
]
