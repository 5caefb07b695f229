"""A real disk that fills up in mid-run: a tmpfs of a few megabytes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appo_core.environments import ROOT
from tests.integration.engine.test_kills import inputs

__all__ = ["inputs"]
pytestmark = [pytest.mark.slow, pytest.mark.faults]
SIZE = 3_000_000


def boxed(room: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that finds a small empty disk at `room`."""
    box = ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--size", str(SIZE), "--tmpfs", str(room)]
    return subprocess.run([*box, *command], capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)


def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(inputs: dict[str, Path], tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    if shutil.which("bwrap") is None or boxed(room, ["true"]).returncode:
        pytest.skip("bubblewrap cannot make a disk here")
    source = inputs["model"].parent
    done = boxed(room, [sys.executable, "-m", "tests.integration.engine.full_disk", str(room), str(source)])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["code"] == 2
    assert seen["left"] == ["step_000001"]
    # Said by the checkpoint's save, or by the dump of the next step's rollouts if that comes first.
    assert "No space left on device" in seen["log"]
    assert "make room" in seen["log"]
    assert "resuming behind step 1 of 3" in seen["after"]
