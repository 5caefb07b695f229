"""A real S3 server (MiniStack) on the loopback interface, for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

BUCKET = "appo-test"
START_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    """Where the server listens, and the environment that points a process to it."""

    endpoint: str
    bucket: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint_url": self.endpoint, "key": "test", "secret": "test-secret"}


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """Starts a server with its data under `folder`, creates the bucket, and ends the server's process group."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "data"),
        "TMPDIR": str(folder),
        "LOG_LEVEL": "WARNING",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = S3Server(f"http://127.0.0.1:{port}", BUCKET)
    try:
        _wait_until_healthy(server, process, folder / "server.log")
        _create_bucket(server)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_healthy(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"MiniStack ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with urlopen(f"{server.endpoint}/_ministack/health", timeout=2):  # noqa: S310
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"MiniStack did not start within {START_SECONDS} s: {log.read_text()[-2000:]}")


def _create_bucket(server: S3Server) -> None:
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True, **server.options).call_s3("create_bucket", Bucket=server.bucket)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for the whole session; give each test its own prefix: `f"{s3_server.url}/{name}"`."""
    pytest.importorskip("ministack", reason="MiniStack is in the orchestrator environment only")
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
