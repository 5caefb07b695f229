from pathlib import Path

import pytest
from pydantic import ValidationError

from appo_core.artifacts import Draft, FileEntry, Manifest, StoreError
from appo_core.artifacts.manifest import files_digest


def entry(path: str, sha: str = "a") -> FileEntry:
    return FileEntry(path=path, bytes=1, sha256=sha * 64)


def test_the_digest_depends_on_content_and_not_on_order() -> None:
    assert files_digest([entry("a"), entry("b", "b")]) == files_digest([entry("b", "b"), entry("a")])
    assert files_digest([entry("a"), entry("b", "b")]) != files_digest([entry("a", "b"), entry("b")])


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b"])
def test_paths_stay_inside_the_artifact(path: str) -> None:
    with pytest.raises(ValidationError, match="leaves the artifact"):
        entry(path)


def test_a_manifest_survives_its_dump() -> None:
    files = (entry("a"),)
    manifest = Manifest(
        kind="model",
        name="demo",
        version="v0123456789ab",
        stage_key="0" * 64,
        created_at="2026-01-01T00:00:00+00:00",
        files=files,
        digest=files_digest(files),
        upload="u",
        metrics={"loss": 0.5},
        owner="o",
    )
    assert Manifest.model_validate_json(manifest.dump()) == manifest
    assert manifest.parent("model").ref == manifest.ref
    assert manifest.total_bytes == 1


def test_drafts_refuse_names_that_are_none() -> None:
    with pytest.raises(StoreError, match="unknown artifact kind 'modle'"):
        Draft("modle", "demo", "0" * 64, Path())
    with pytest.raises(StoreError, match="artifact name 'a b' is not allowed"):
        Draft("model", "a b", "0" * 64, Path())
