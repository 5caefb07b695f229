"""Work folders outlive failures and are held by one process at a time."""

from multiprocessing import get_context
from pathlib import Path

import pytest

from tasks.folders import work_folder


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_HOME", str(tmp_path))


def unexpected() -> None:
    raise AssertionError("nobody else holds it")


def fail_halfway() -> None:
    with work_folder("rl", "k" * 64, unexpected) as folder:
        (folder / "checkpoint").write_text("x")
        raise ValueError("halfway")


def test_it_is_removed_after_success_and_kept_after_a_failure() -> None:
    with pytest.raises(ValueError, match="halfway"):
        fail_halfway()
    with work_folder("rl", "k" * 64, unexpected) as again:
        assert (again / "checkpoint").read_text() == "x"
    assert not again.exists()


def hold(ready: object, go_on: object) -> None:
    with work_folder("rl", "k" * 64, unexpected):
        ready.set()  # type: ignore[attr-defined]
        go_on.wait()  # type: ignore[attr-defined]


def test_a_second_process_is_told_and_waits() -> None:
    context = get_context("spawn")
    ready, go_on = context.Event(), context.Event()
    process = context.Process(target=hold, args=(ready, go_on))
    process.start()
    ready.wait()
    told: list[bool] = []

    def waiting() -> None:
        told.append(True)
        go_on.set()

    with work_folder("rl", "k" * 64, waiting):
        assert told == [True]
    process.join()
