import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from appo_core import doctor, environments


@pytest.fixture
def root(tmp_path: Path) -> Path:
    locks = tmp_path / "infra" / "environments"
    locks.mkdir(parents=True)
    for name in environments.ENVIRONMENTS:
        (locks / f"{name}.lock").write_text(f"{name}==1\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_ACCELERATOR", "cpu")
    for name in ("APPO_PYTHON_ENGINE", "APPO_PYTHON_SFT", "APPO_PYTHON_ORCHESTRATOR", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)


def make_environment(root: Path, name: str, stamp: object = None) -> None:
    python = environments.python(name, root)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    if stamp is not None:
        (environments.folder(name, root) / environments.STAMP_NAME).write_text(json.dumps(stamp))


def test_an_environment_is_missing_then_incomplete_then_current(root: Path) -> None:
    finding = doctor.check_environment("engine", root)
    assert (finding.status, finding.remedy) == ("missing", "make setup")
    make_environment(root, "engine")
    assert "not set up completely from engine.lock" in doctor.check_environment("engine", root).detail
    stamp = environments.folder("engine", root) / environments.STAMP_NAME
    stamp.write_text(json.dumps(environments.expected_stamp("engine", root)))
    assert doctor.check_environment("engine", root).status == "ok"


def test_a_changed_lock_a_moved_checkout_and_a_damaged_stamp_are_seen(root: Path, tmp_path: Path) -> None:
    make_environment(root, "sft", environments.expected_stamp("sft", root))
    assert environments.is_current("sft", root)
    (root / "infra" / "environments" / "sft.lock").write_text("sft==2\n")
    assert doctor.check_environment("sft", root).detail == "differs from sft.lock"
    moved = tmp_path.rename(tmp_path.parent / "moved")
    assert not environments.is_current("sft", moved)
    (environments.folder("sft", moved) / environments.STAMP_NAME).write_text('{"lock": ')
    assert environments.read_stamp("sft", moved) is None


def test_the_gpu_lock_is_taken_with_a_gpu(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_ACCELERATOR", "cuda")
    assert environments.lock_file("engine", root).name == "engine-gpu.lock"
    assert environments.lock_file("orchestrator", root).name == "orchestrator.lock"
    monkeypatch.setenv("APPO_ACCELERATOR", "tpu")
    assert doctor.check_environment("engine", root).detail == (
        "APPO_ACCELERATOR=tpu: unknown; set it to cpu or cuda, or unset it"
    )


def test_an_interpreter_chosen_by_hand_is_checked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPO_PYTHON_SFT", sys.executable)
    assert doctor.check_environment("sft", root).status == "ok"
    monkeypatch.setenv("APPO_PYTHON_SFT", "/nowhere/python")
    assert doctor.check_environment("sft", root).status == "missing"


def test_the_sandbox_is_tried_in_the_engine_environment(root: Path) -> None:
    assert doctor.check_sandbox(root).status == "warn"
    make_environment(root, "engine")
    finding = doctor.check_sandbox(root)  # this root holds no appo_core: the trial itself must fail, and say so
    assert (finding.status, "appo_core" in finding.detail) == ("missing", True)


@pytest.mark.engine
@pytest.mark.slow
def test_the_sandbox_of_this_machine_is_named() -> None:
    finding = doctor.check_sandbox()
    assert finding.status == "ok" or finding.remedy
    assert finding.detail


def test_memory_is_read_and_judged(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert doctor.check_memory(meminfo).status == "warn"
    meminfo.write_text("MemTotal: 99 kB\nMemAvailable:    1048576 kB\n")
    assert doctor.check_memory(meminfo).detail.startswith("1.0 GiB free, 6 GiB wanted")
    meminfo.write_text("MemAvailable:    16777216 kB\n")
    assert doctor.check_memory(meminfo).status == "ok"


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Health) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_named_prefect_server_must_answer(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{server}/api/")
    assert doctor.check_prefect().status == "ok"
    monkeypatch.setenv("PREFECT_API_URL", f"{server}/elsewhere")
    finding = doctor.check_prefect()
    assert (finding.status, "unset it" in finding.remedy) == ("missing", True)


def test_a_port_in_use_is_told_from_a_server(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PREFECT_PORT", int(server.rpartition(":")[2]))
    assert "a server runs at" in doctor.check_prefect().detail
    with socket.create_server(("127.0.0.1", 0)) as silent:
        free = silent.getsockname()[1]
    monkeypatch.setattr(doctor, "_PREFECT_PORT", free)
    assert "is free" in doctor.check_prefect().detail


def test_s3_needs_both_halves_of_a_credential_and_an_endpoint_that_answers(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, endpoint = doctor.check_s3()
    assert (credentials.status, endpoint.status) == ("warn", "ok")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    credentials, endpoint = doctor.check_s3()
    assert (credentials.remedy, endpoint.status) == ("set AWS_SECRET_ACCESS_KEY", "ok")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    credentials, endpoint = doctor.check_s3()
    assert (credentials.status, endpoint.remedy) == ("ok", "start the server or correct AWS_ENDPOINT_URL_S3")


def test_the_whole_examination_names_each_thing_once(root: Path) -> None:
    findings = doctor.diagnose(store="s3://bucket/x", root=root)
    names = [finding.name for finding in findings]
    assert len(names) == len(set(names)) == 11
    assert all(finding.remedy for finding in findings if finding.status != "ok")
    assert len(doctor.diagnose(store="file:///x", root=root)) == 9
