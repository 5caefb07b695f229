"""Jobs run for real: events, exit codes, kill and interrupt."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from appo_core.jobs.contract import Event, Job
from tasks.command import run_command
from tasks.environments import environment_python
from tasks.errors import StageError

PROBE = "tests.tasks.job_probe"


def probe(tmp_path: Path, events: list[Event] | None = None, **settings: Any) -> dict[str, Any]:
    job = Job(settings=settings, output=tmp_path / "output", work=tmp_path / "work")
    return run_command(
        PROBE, "orchestrator", job, folder=tmp_path, listen=(events if events is not None else []).append
    )


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_events_arrive_in_order_and_the_result_comes_back(tmp_path: Path) -> None:
    events: list[Event] = []
    assert probe(tmp_path, events, value=7)["value"] == 7
    assert [event.event for event in events] == ["progress", "log", "progress", "result"]
    assert events[0].metrics == {"loss": 0.5}
    assert "an ordinary line" in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize(
    ("end", "transient", "bad_input", "parts"),
    [
        ("bad-input", False, True, ["row 3: no answer", "correct the row"]),
        ("transient", True, False, ["the endpoint is away", "try again"]),
        ("unexpected", False, False, ["RuntimeError: surprise", "job.log"]),
        ("killed", True, False, ["killed by signal 9", "run again to resume"]),
        ("silent", False, False, ["exit code 7: the last word", "job.log"]),
    ],
)
def test_a_fault_is_one_line_with_a_remedy(
    tmp_path: Path, end: str, transient: bool, bad_input: bool, parts: list[str]
) -> None:
    with pytest.raises(StageError) as caught:
        probe(tmp_path, end=end)
    assert (caught.value.transient, caught.value.bad_input) == (transient, bad_input)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_an_interrupt_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "work" / "pids"

    def interrupt() -> None:
        while not pids.exists() or not pids.read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        probe(tmp_path, end="hang")
    thread.join()
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def test_a_fault_of_the_listener_ends_the_job(tmp_path: Path) -> None:
    def refuse(_event: Event) -> None:
        raise ValueError("not today")

    job = Job(settings={"end": "hang"}, output=tmp_path / "output", work=tmp_path / "work")
    with pytest.raises(ValueError, match="not today"):
        run_command(PROBE, "orchestrator", job, folder=tmp_path, listen=refuse)


def test_a_missing_environment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_PYTHON_ENGINE", str(tmp_path / "python"))
    with pytest.raises(StageError, match=r"APPO_PYTHON_ENGINE=.* does not exist; run `make setup`"):
        environment_python("engine")


def test_an_interpreter_that_cannot_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("no program")
    monkeypatch.setenv("APPO_PYTHON_ENGINE", str(broken))
    job = Job(settings={}, output=tmp_path / "output", work=tmp_path / "work")
    with pytest.raises(StageError, match="could not be started"):
        run_command(PROBE, "engine", job, folder=tmp_path, listen=lambda _event: None)
