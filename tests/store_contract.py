"""What every store must do, whatever it lies on; test modules of each kind of store inherit these tests.

A subclass gives the fixture `store`.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appo_core.artifacts import AliasConflict, ArtifactNotFound, ArtifactRef, Store, StoreError
from appo_core.artifacts.transfer import object_key
from tests.drafts import make_draft

WRITERS = 16


class StoreContract:
    """Publication, lookup, download, aliases, races and damage."""

    def test_a_publication_is_found_and_fetched(self, store: Store, tmp_path: Path) -> None:
        draft = make_draft(tmp_path, metrics={"rows": 1}, licence="CC0-1.0", source="made up")
        manifest = store.publish(draft)
        assert store.find("dataset/demo@latest") == store.find(manifest.ref) == manifest
        assert store.find_by_key("dataset", "demo", draft.stage_key) == manifest
        assert [entry.path for entry in manifest.files] == ["deep/er/empty", "train.jsonl"]
        folder = store.fetch(manifest, tmp_path / "cache")
        assert (folder / "train.jsonl").read_bytes() == store.read_file(manifest, "train.jsonl") == b'{"id": 1}\n'
        assert (folder / "deep/er/empty").read_bytes() == b""

    def test_a_version_is_published_once(self, store: Store, tmp_path: Path) -> None:
        first = store.publish(make_draft(tmp_path))
        assert store.publish(make_draft(tmp_path)) == first
        assert store.backend.names("dataset/demo/data") == [first.upload]

    def test_what_is_absent_is_explained(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(ArtifactNotFound, match="run its stage first"):
            store.find("model/demo")
        version = store.publish(make_draft(tmp_path)).version
        with pytest.raises(ArtifactNotFound, match="did you mean demo"):
            store.find("dataset/dmo")
        with pytest.raises(ArtifactNotFound, match=f"has latest, {version}"):
            store.find("dataset/demo@champion")
        with pytest.raises(StoreError, match="has no file 'x'; it has deep/er/empty, train"):
            store.read_file(store.find("dataset/demo"), "x")
        assert not store.exists(ArtifactRef("dataset", "demo", "v000000000000"))
        assert store.find_by_key("dataset", "demo", "0" * 64) is None

    def test_one_of_many_writers_wins(self, store: Store, tmp_path: Path) -> None:
        drafts = [make_draft(tmp_path / str(writer), files={"who": bytes([writer])}) for writer in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            manifests = list(pool.map(store.publish, drafts))
        assert len({manifest.owner for manifest in manifests}) == 1
        assert store.backend.names("dataset/demo/data") == [manifests[0].upload]
        assert store.verify() == []

    def test_latest_follows_the_newest_publication(self, store: Store, tmp_path: Path) -> None:
        drafts = [make_draft(tmp_path, seed=seed) for seed in range(6)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(store.publish, drafts))
        newest = store.list("dataset", "demo")[-1]
        assert store.find("dataset/demo@latest") == newest
        store.publish(drafts[0])
        assert store.find("dataset/demo@latest") == newest

    def test_aliases_move_by_compare_and_swap(self, store: Store, tmp_path: Path) -> None:
        one, two = (store.publish(make_draft(tmp_path, seed=seed)).version for seed in (1, 2))
        store.move_alias("dataset", "demo", "champion", one)
        with pytest.raises(AliasConflict, match=f"points to {one}, not to nothing"):
            store.move_alias("dataset", "demo", "champion", two)
        store.move_alias("dataset", "demo", "champion", two, expected=one)
        assert store.alias("dataset", "demo", "champion") == two
        with pytest.raises(AliasConflict):
            store.move_alias("dataset", "demo", "best", two, expected=one)
        with pytest.raises(ArtifactNotFound):
            store.move_alias("dataset", "demo", "best", "v000000000000")
        with pytest.raises(StoreError, match="is a version, not an alias"):
            store.move_alias("dataset", "demo", one, two)

    def test_an_alias_moved_by_many_is_moved_by_one(self, store: Store, tmp_path: Path) -> None:
        versions = [store.publish(make_draft(tmp_path, seed=seed)).version for seed in range(6)]
        store.move_alias("dataset", "demo", "champion", versions[0])

        def challenge(version: str) -> int:
            try:
                store.move_alias("dataset", "demo", "champion", version, expected=versions[0])
            except AliasConflict:
                return 0
            return 1

        with ThreadPoolExecutor(5) as pool:
            assert sum(pool.map(challenge, versions[1:])) == 1

    def test_lists_run_from_old_to_new(self, store: Store, tmp_path: Path) -> None:
        made = [
            store.publish(make_draft(tmp_path, kind=kind, seed=seed))
            for seed in (1, 2)
            for kind in ("model", "dataset")
        ]
        assert list(store.list()) == made
        assert list(store.list("model")) == [made[0], made[2]]
        assert list(store.list("model", "nobody")) == []
        with pytest.raises(StoreError, match="unknown artifact kind"):
            store.list("modles")

    def test_tampering_is_found(self, store: Store, tmp_path: Path) -> None:
        files = {"a": b"abc", "b": b"abc", "c": b"abc", "big": b"x" * (9 * 2**20)}
        manifest = store.publish(make_draft(tmp_path, files=files))
        store.move_alias("dataset", "demo", "champion", manifest.version)
        assert store.verify() == []
        for path, body in (("a", b"abd"), ("b", b"abcd"), ("big", b"y" * (9 * 2**20))):
            overwrite(store, object_key(manifest, path), body, tmp_path)
        store.backend.remove(object_key(manifest, "c").rpartition("/")[0] + "/nothing")
        problems = store.verify(manifest.ref)
        assert sorted(problem.path for problem in problems) == ["a", "b", "big"]
        assert all("sha256" in str(problem) for problem in problems)
        with pytest.raises(StoreError, match="does not have the sha256"):
            store.fetch(manifest, tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []
        store.backend.remove(f"dataset/demo/data/{manifest.upload}")
        assert len(store.verify()) == 4
        store.backend.remove(f"dataset/demo/versions/{manifest.version}")
        assert {problem.ref.version for problem in store.verify()} == {"latest", "champion"}

    def test_a_damaged_manifest_is_reported_and_not_trusted(self, store: Store, tmp_path: Path) -> None:
        good, bad = (store.publish(make_draft(tmp_path, seed=seed)) for seed in (1, 2))
        key = f"dataset/demo/versions/{bad.version}/MANIFEST.json"
        for body in (b"{", bad.dump().replace(b'"bytes": 10', b'"bytes": 11'), good.dump()):
            overwrite(store, key, body, tmp_path)
            with pytest.raises(StoreError, match=f"manifest of {bad.ref} is damaged") as caught:
                store.find(bad.ref)
            assert "\n" not in str(caught.value)
            assert list(store.list()) == [good]
            assert bad.ref in {problem.ref for problem in store.verify()}

    def test_an_empty_folder_is_refused(self, store: Store, tmp_path: Path) -> None:
        draft = make_draft(tmp_path)
        for path in (draft.folder / "train.jsonl", draft.folder / "deep/er/empty"):
            path.unlink()
        with pytest.raises(StoreError, match="holds no files; publish only the output"):
            store.publish(draft)
        assert list(store.list()) == []


def overwrite(store: Store, key: str, body: bytes, scratch: Path) -> None:
    """Puts other bytes where an object lies, as nobody should."""
    remains = scratch / "tampered"
    remains.write_bytes(body)
    root = getattr(store.backend, "root", None)
    if isinstance(root, Path):
        (root / key).write_bytes(body)
    else:
        store.backend.upload(remains, key)
