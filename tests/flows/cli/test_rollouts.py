"""`appo rollouts view` as a user meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appo_core.artifacts import Store
from tests.appo_core.viewing.dumps import REAL
from tests.drafts import make_draft
from tests.flows.cli.test_cli import appo

DUMP, TOKENIZER = (REAL / "step_000001.jsonl").read_bytes(), (REAL / "tokenizer.json").read_bytes()
STEPS = {"step_000002.jsonl": DUMP, "step_000010.jsonl": DUMP}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Rollouts with a tokenizer of their own, and older ones without, whose model has one."""
    store = Store.open(f"file://{tmp_path / 'home' / 'store'}")
    model = store.publish(make_draft(tmp_path, kind="sft-model", files={"tokenizer.json": TOKENIZER}))
    parents = (model.parent("model"),)
    store.publish(make_draft(tmp_path, kind="rollouts", name="older", files=STEPS, parents=parents))
    store.publish(make_draft(tmp_path, kind="rollouts", files=STEPS | {"tokenizer.json": TOKENIZER}))
    return store


def made(done: "subprocess.CompletedProcess[str]") -> Path:
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_the_newest_step_of_the_newest_rollouts_is_the_default(tmp_path: Path, store: Store) -> None:
    page = made(appo(tmp_path, "rollouts", "view"))
    assert page == tmp_path / "demo-step-000010.html"
    assert str(store.find("rollouts/demo").ref) in page.read_text()
    assert "Cedar Bay" in page.read_text()


def test_rollouts_without_a_tokenizer_take_that_of_their_model(tmp_path: Path, store: Store) -> None:
    page = made(appo(tmp_path, "rollouts", "view", "rollouts/older@latest", "--step", "2", "-o", "deep/er/page.html"))
    assert page == tmp_path / "deep" / "er" / "page.html"
    assert "Cedar Bay" in page.read_text()


def test_a_folder_and_a_file_are_shown_too(tmp_path: Path) -> None:
    folder = tmp_path / "rollouts"
    folder.mkdir()
    (folder / "step_000003.jsonl").write_bytes(DUMP)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_bytes(TOKENIZER)
    whole = made(appo(tmp_path, "rollouts", "view", "rollouts", "--tokenizer", "model"))
    (folder / "tokenizer.json").write_bytes(TOKENIZER)
    one = made(appo(tmp_path, "rollouts", "view", "rollouts/step_000003.jsonl", "--prompts", "1"))
    assert whole.name == one.name == "rollouts-step-000003.html"
    assert 'id="prompt-0"' in one.read_text()
    assert 'id="prompt-1"' not in one.read_text()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["rollouts/absent"], ["rollouts/absent@latest is not in", "demo"]),
        (["model/demo"], ["model/demo is no rollouts", "rollouts/demo@latest"]),
        (["rollouts/demo", "--step", "4"], ["step 4 was not dumped", "2, 10"]),
        (["./nowhere"], ["./nowhere: no such file or folder"]),
        (["empty/"], ["empty/: no step_*.jsonl file in it"]),
        (["bare"], ["bare holds no tokenizer.json", "--tokenizer"]),
        (["bare", "--tokenizer", "nix"], ["nix: No such file or directory", "--tokenizer"]),
        (["damaged"], ["line 3: not JSON", "choose another step"]),
        (["rollouts/demo", "-o", "bare"], ["bare: Is a directory", "--output"]),
        (["rollouts/demo", "--prompts", "0"], ["--prompts"]),
    ],
)
def test_bad_input_is_one_line_with_cause_and_remedy(
    tmp_path: Path, store: Store, arguments: list[str], parts: list[str]
) -> None:
    for name, body in (("empty", b""), ("bare", DUMP), ("damaged", cut(DUMP))):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "step_000001.jsonl").write_bytes(body)
    (tmp_path / "damaged" / "tokenizer.json").write_bytes(TOKENIZER)
    done = appo(tmp_path, "rollouts", "view", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr
    if arguments[-1] != "0":
        assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.html"))


def cut(body: bytes) -> bytes:
    """A dump whose third line ends in the middle."""
    lines = body.splitlines()
    return b"\n".join([*lines[:2], lines[2][: len(lines[2]) // 2]])


def test_the_page_is_opened_in_the_browser(tmp_path: Path, store: Store) -> None:
    opener = tmp_path / "opener"
    opener.write_text('#!/bin/sh\necho "$1" > "$(dirname "$0")/opened"\n')
    opener.chmod(0o755)
    page = made(appo(tmp_path, "rollouts", "view", "--open", BROWSER=f"{opener} %s"))
    assert (tmp_path / "opened").read_text().strip() == page.as_uri()


def test_help_loads_neither_the_viewer_nor_the_store() -> None:
    code = (
        "import sys, flows.cli.app; print([one for one in sys.modules if one in ('tokenizers', 'fsspec', 'pydantic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
