import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appo_core.artifacts import Store, StoreError
from appo_core.artifacts.local import LocalBackend
from tests.drafts import make_draft
from tests.store_contract import StoreContract


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store.open(f"file://{tmp_path}/store")


class TestOtherFileSystems(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store.open(f"memory://{tmp_path}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def test_urls_that_nothing_opens_are_refused() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open("nonsense://bucket")
    with pytest.raises(StoreError, match="names no bucket"):
        Store.open("s3://")


@pytest.mark.faults
@pytest.mark.parametrize("step", ["upload", "manifest"])
def test_a_killed_publication_leaves_nothing_visible(store: Store, tmp_path: Path, step: str) -> None:
    command = [sys.executable, "-m", "tests.drafts", store.url, str(tmp_path), step]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout
        assert process.stdout.readline() == "hanging\n"
        process.send_signal(signal.SIGKILL)
    assert list(store.list()) == []
    assert store.verify() == [] or "no manifest" in str(store.verify()[0])
    assert store.publish(make_draft(tmp_path, files={"a": b"a" * 1000, "z": b"z"})).total_bytes == 1001
    assert store.verify() == []


def publish_in_a_sandbox(store: Store, *mount: str) -> list[str]:
    """What a process prints that publishes 4 MB while `mount` lies on the store's folder; skips where bwrap fails."""
    if not shutil.which("bwrap"):
        pytest.skip("bubblewrap, which makes the faulty folder, is not installed")
    program = (
        "import pathlib, tempfile\nfrom appo_core.artifacts import Store, StoreError\n"
        "from tests.drafts import make_draft\n"
        f"store = Store.open({store.url!r})\n"
        "draft = make_draft(pathlib.Path(tempfile.mkdtemp()), seed=1, files={'a': b'a', 'z': b'z' * 4_000_000})\n"
        "try: store.publish(draft)\n"
        "except StoreError as error: print(error.transient, error)\n"
        "print([str(manifest.ref) for manifest in store.list()], store.backend.names('dataset/demo/data'))\n"
    )
    command = ["bwrap", "--dev-bind", "/", "/", *mount, sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "bwrap:" in done.stderr:
        pytest.skip(f"bubblewrap does not work here: {done.stderr.strip()[:80]}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


@pytest.mark.faults
def test_a_full_disk_is_said_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    complaint, left = publish_in_a_sandbox(store, "--size", "1000000", "--tmpfs", store.url)
    assert complaint == f"True store {store.url}: no space left; free some disk space and run again"
    assert left == "[] []"


@pytest.mark.faults
def test_a_read_only_store_is_said_and_still_read(store: Store, tmp_path: Path) -> None:
    manifest = store.publish(make_draft(tmp_path))
    complaint, left = publish_in_a_sandbox(store, "--ro-bind", store.url, store.url)
    assert complaint.startswith(f"False store {store.url}: ")
    assert complaint.endswith("is not accessible; give this user write access or choose another store")
    assert left == f"['{manifest.ref}'] ['{manifest.upload}']"


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is not accessible; give this user write access") as caught:
        Store.open(str(tmp_path / "file" / "store")).require_writable()
    assert not caught.value.transient


def test_a_place_without_exclusive_creation_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalBackend, "create", lambda self, key, body: True)
    with pytest.raises(StoreError, match="does not honour create-only writes"):
        store.publish(make_draft(tmp_path))


def test_an_intact_cache_is_used_without_the_store(store: Store, tmp_path: Path) -> None:
    manifest = store.publish(make_draft(tmp_path))
    folder = store.fetch(manifest, tmp_path / "cache")
    shutil.rmtree(store.url)
    assert store.fetch(manifest, tmp_path / "cache") == folder


def test_a_damaged_cache_is_fetched_again(store: Store, tmp_path: Path) -> None:
    manifest = store.publish(make_draft(tmp_path))
    folder = store.fetch(manifest, tmp_path / "cache")
    (folder / "train.jsonl").write_bytes(b"X" * 10)
    assert (store.fetch(manifest, tmp_path / "cache") / "train.jsonl").read_bytes() == b'{"id": 1}\n'
    (folder / "train.jsonl").unlink()
    assert (store.fetch(manifest, tmp_path / "cache") / "train.jsonl").read_bytes() == b'{"id": 1}\n'


def test_many_may_fetch_at_once(store: Store, tmp_path: Path) -> None:
    manifest = store.publish(make_draft(tmp_path, files={"a": b"a" * 100_000, "b": b"b"}))
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: store.fetch(manifest, tmp_path / "cache"), range(16)))
    assert [path.name for folder in folders for path in sorted(folder.iterdir())] == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [manifest.digest, f"{manifest.digest}.json"]


def test_another_stage_key_with_the_same_version_is_not_taken_for_it(store: Store, tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    store.publish(draft)
    twin = draft.stage_key[:12] + "0" * 52
    with pytest.raises(StoreError, match="belongs to another stage key"):
        store.find_by_key("dataset", "demo", twin)
