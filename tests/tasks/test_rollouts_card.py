"""The page of a rollouts artifact leads to what is in it."""

from pathlib import Path

import pytest

from appo_core.artifacts import Manifest, Store
from appo_core.viewing.produce import add_view
from tasks.cards import page
from tasks.rollouts_card import rollouts_section
from tests.appo_core.viewing.dumps import REAL
from tests.drafts import make_draft

DUMP = (REAL / "step_000001.jsonl").read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"file://{tmp_path / 'store'}")


def published(store: Store, tmp_path: Path) -> Manifest:
    """Two steps of rollouts, with their page as a job leaves it."""
    draft = make_draft(tmp_path, kind="rollouts", files={"step_000001.jsonl": DUMP, "step_000002.jsonl": DUMP})
    log: list[str] = []
    add_view(draft.folder, REAL, {"name": "demo", "key": draft.stage_key}, log.append)
    assert log == []
    return store.publish(draft)


def test_it_draws_the_most_telling_prompt_and_says_where_the_rest_is(store: Store, tmp_path: Path) -> None:
    manifest = published(store, tmp_path)
    text = page(store, manifest, reused=False)
    assert "```mermaid\nflowchart LR\n  q[" in text
    assert f"appo rollouts view {manifest.ref} --step 2 --open" in text
    place = tmp_path / "store" / "rollouts" / "demo" / "data" / manifest.upload / "view.html"
    assert f"`{place}`" in text
    assert str(manifest.ref) in place.read_text()


def test_a_page_on_a_web_server_is_linked(store: Store, tmp_path: Path) -> None:
    manifest = published(store, tmp_path)
    store.url = "https://example.org/store/"
    where = f"https://example.org/store/rollouts/demo/data/{manifest.upload}/view.html"
    assert f"[{where}]({where})" in rollouts_section(store, manifest)


def test_older_rollouts_have_the_command_and_other_artifacts_nothing(store: Store, tmp_path: Path) -> None:
    older = store.publish(make_draft(tmp_path, kind="rollouts", name="old", files={"step_000001.jsonl": DUMP}))
    section = rollouts_section(store, older)
    assert f"appo rollouts view {older.ref} --step 1 --open" in section
    assert "view.html" not in section
    assert rollouts_section(store, store.publish(make_draft(tmp_path, kind="dataset"))) == ""


def test_a_page_that_cannot_be_drawn_costs_no_run(tmp_path: Path) -> None:
    log: list[str] = []
    add_view(tmp_path / "absent", REAL, {}, log.append)
    assert log == []
    (tmp_path / "step_000001.jsonl").write_bytes(DUMP[:1000])
    add_view(tmp_path, REAL, {}, log.append)
    (line,) = log
    assert "line 1: not JSON" in line
    assert not (tmp_path / "view.html").exists()
