"""Commands leave nothing behind, whatever happens to them or to their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from appo_core.processes import Process, clean_environment

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " \
        "open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child, sys.argv[1] + ".group"])
subprocess.Popen([sys.executable, "-c", child, sys.argv[1] + ".session"], start_new_session=True)
open(sys.argv[1] + ".main", "w").write(str(os.getpid()))
time.sleep(600)
"""


def read_pids(mark: Path) -> list[int]:
    """Process ids of the stubborn command and its two children, once all have written them."""
    files = [mark.with_name(mark.name + end) for end in (".group", ".session", ".main")]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if all(file.exists() and file.read_text() for file in files):
            return [int(file.read_text()) for file in files]
        time.sleep(0.02)
    raise AssertionError("the command did not start")


def running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(pids: list[int]) -> list[int]:
    """The processes that are still there after a generous wait."""
    deadline = time.monotonic() + 30
    while (alive := [pid for pid in pids if running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def test_output_and_exit_code(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('out'); print('err', file=sys.stderr); print('a\\rb\\xff'); sys.exit(7)"
    process = Process.start([sys.executable, "-c", code], log=tmp_path / "log", on_line=lines.append)
    assert process.wait() == 7
    assert sorted(lines)[:3] == ["a", "bÿ", "err"]
    assert (tmp_path / "log").read_text().splitlines().count("out") == 1


def test_signal_death_is_reported() -> None:
    process = Process.start([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"])
    assert process.wait() == -signal.SIGSEGV


def test_command_not_found_says_so() -> None:
    lines: list[str] = []
    assert Process.start(["/no/such/program"], on_line=lines.append).wait() == 127
    assert lines == ["cannot start /no/such/program: No such file or directory"]


def test_fault_of_the_callback_is_raised_by_wait() -> None:
    def refuse(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="first"):
        Process.start(["sh", "-c", "echo first; echo second"], on_line=refuse).wait()


def test_stop_ends_grandchildren_that_ignore_sigterm(tmp_path: Path) -> None:
    process = Process.start([sys.executable, "-c", STUBBORN, str(tmp_path / "pid")])
    pids = read_pids(tmp_path / "pid")
    assert process.stop(grace_s=0.2) == -signal.SIGKILL
    assert process.stop() == -signal.SIGKILL
    assert not [pid for pid in pids if running(pid)]


def test_command_may_clean_up_on_sigterm(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0))); "
        "print('up', flush=True); time.sleep(600)"
    )
    lines: list[str] = []
    up = threading.Event()
    with Process.start([sys.executable, "-c", code], on_line=lambda line: (lines.append(line), up.set())) as process:
        assert up.wait(30)
    assert process.poll() == 0
    assert lines == ["up", "bye"]


def test_what_a_finished_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '600'], start_new_session=True); print(p.pid)"
    lines: list[str] = []
    assert Process.start([sys.executable, "-c", code], on_line=lines.append).wait() == 0
    assert not running(int(lines[0]))


@pytest.mark.parametrize("in_thread", [False, True])
def test_kill_of_the_parent_leaves_nothing(tmp_path: Path, in_thread: bool) -> None:
    start = f"Process.start([sys.executable, '-c', {STUBBORN!r}, {str(tmp_path / 'pid')!r}])"
    run = f"t = threading.Thread(target=lambda: {start}); t.start(); t.join()" if in_thread else f"p = {start}"
    code = f"import sys, threading, time\nfrom appo_core.processes import Process\n{run}\ntime.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    pids = read_pids(tmp_path / "pid")
    assert all(running(pid) for pid in pids)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert wait_gone(pids) == []


def test_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libx.so")
    monkeypatch.setenv("PYTHONPATH", "/leak")
    monkeypatch.setenv("VIRTUAL_ENV", "/venv")
    monkeypatch.setenv("PATH", "/venv/bin:/usr/bin:/bin")
    environment = clean_environment({"EXTRA": "1"})
    assert not {"LD_PRELOAD", "PYTHONPATH", "VIRTUAL_ENV"} & set(environment)
    assert (environment["PATH"], environment["EXTRA"]) == ("/usr/bin:/bin", "1")


def test_a_killed_command_never_looks_finished() -> None:
    """Its threads and memory take a while to go; until then its status is not there to be collected."""
    program = (
        "import hashlib, threading, time; memory = bytearray(b'x') * 400_000_000\n"
        "work = lambda: [hashlib.sha256(memory).digest() for _ in range(99)]\n"
        "[threading.Thread(target=work, daemon=True).start() for _ in range(8)]\n"
        "print('up', flush=True); time.sleep(60)"
    )
    for _ in range(3):
        up = threading.Event()
        with Process.start([sys.executable, "-c", program], on_line=lambda _, up=up: up.set()) as process:
            assert up.wait(30)
            assert process.stop(grace_s=0) == -signal.SIGKILL
