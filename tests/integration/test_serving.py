"""A real vLLM server on a tiny model: started, checked, killed, stopped; nothing is left running."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from appo_core import environments
from appo_core.artifacts import Store
from appo_core.config.serve import ServeSettings
from appo_core.jobs.contract import JobError
from appo_core.process_guard import descendants
from appo_core.processes import clean_environment
from appo_core.serving import ModelServer
from tasks.errors import StageError
from tasks.serve import serving
from tests.drafts import make_draft

pytestmark = [pytest.mark.engine, pytest.mark.slow]
NAME = "model/demo@1"
SETTINGS = ServeSettings(max_model_len=256, dtype="float32", kv_cache_mb=64, max_num_seqs=8, start_timeout_s=300)
HOLDER = """
import sys, time
from pathlib import Path
from appo_core.config.serve import ServeSettings
from appo_core.serving import ModelServer
model, log, python, settings = sys.argv[1:]
server = ModelServer.start(
    Path(model), "held", ServeSettings.model_validate_json(settings), python=Path(python), log=Path(log)
)
print(server.base_url, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model, built in the engine environment."""
    folder = tmp_path_factory.mktemp("serving") / "model"
    command = [str(environments.python("engine")), "-m", "tests.tiny_model", str(folder)]
    subprocess.run(command, env=clean_environment(), cwd=environments.ROOT, check=True, capture_output=True)
    return folder


def start(model: Path, log: Path, **changes: Any) -> ModelServer:
    """A server with the test's settings."""
    settings = SETTINGS.model_copy(update=changes)
    return ModelServer.start(model, NAME, settings, python=environments.python("engine"), log=log)


def gone(pids: list[int]) -> bool:
    """Whether all processes end within a generous wait."""
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}/cmdline").exists() and _runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(server: ModelServer, name: str) -> None:
    """Kill the server's main process and wait for the end of all its processes."""
    guard = server._process.pid
    members = descendants(guard)
    main = next(pid for pid in members if f"--served-model-name\0{name}" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(main, signal.SIGKILL)
    assert gone([guard, *members])


def test_serves_then_a_kill_is_noticed(tmp_path: Path, model: Path) -> None:
    with start(model, tmp_path / "log") as server:
        body = {"model": NAME, "prompt": [5, 6, 7], "max_tokens": 4, "logprobs": 0, "return_token_ids": True}
        choice = httpx.post(f"{server.base_url}/v1/completions", json=body, timeout=60).json()["choices"][0]
        assert len(choice["token_ids"]) == len(choice["logprobs"]["token_logprobs"]) > 0
        server.check()
        assert server.alive

        with pytest.raises(JobError, match=r"serve\.port \d+ on 127\.0\.0\.1 cannot be taken"):
            start(model, tmp_path / "second", port=int(server.base_url.rpartition(":")[2]))

        kill(server, NAME)
        assert not server.alive
        with pytest.raises(JobError, match="was killed by signal 9"):
            server.check()


@pytest.mark.usefixtures("prefect_server")
def test_the_end_of_a_server_is_the_fault_of_whoever_used_it(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPO_HOME", str(tmp_path / "home"))
    store = Store.open(str(tmp_path / "store"))
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    ref = str(store.publish(make_draft(tmp_path, kind="model", files=files)).ref)

    def use() -> None:
        with serving(store, ref, SETTINGS) as running:
            kill(running._server, ref)
            raise StageError("evaluate: no answer", transient=True)

    with pytest.raises(StageError, match=r"serve: the server of .* was killed by signal 9") as caught:
        use()
    assert caught.value.transient
    (log,) = (tmp_path / "home" / "logs").iterdir()
    assert str(log) in str(caught.value)


def test_kill_of_the_parent_ends_the_server(tmp_path: Path, model: Path) -> None:
    arguments = [str(model), str(tmp_path / "log"), str(environments.python("engine")), SETTINGS.model_dump_json()]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments], stdout=subprocess.PIPE, text=True, cwd=environments.ROOT
    )
    assert holder.stdout is not None
    url = holder.stdout.readline().strip()
    members = descendants(holder.pid)
    assert len(members) >= 3
    holder.kill()
    holder.wait()
    assert gone(members)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2])))


def test_a_server_that_cannot_start_names_the_cause(tmp_path: Path, model: Path) -> None:
    before = set(descendants(os.getpid()))
    with pytest.raises(JobError, match=r"no config\.json"):
        start(tmp_path, tmp_path / "log")
    with pytest.raises(JobError, match=r"ended with exit code 1: .*max_model_len"):
        start(model, tmp_path / "log", max_model_len=100_000)
    with pytest.raises(JobError, match=r"not ready after 0\.5 s"):
        start(model, tmp_path / "log", start_timeout_s=0.5)
    assert set(descendants(os.getpid())) <= before
