"""The store on a real S3 server, and what it says when the server refuses or is not there."""

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from appo_core.artifacts import Store, StoreError
from appo_core.artifacts.backend import PART_BYTES
from appo_core.artifacts.s3 import S3Backend
from tests.drafts import make_draft
from tests.s3_server import S3Server
from tests.store_contract import StoreContract


@pytest.fixture
def store(s3_server: S3Server, request: pytest.FixtureRequest) -> Store:
    prefix = "".join(letter if letter.isalnum() else "-" for letter in request.node.nodeid)
    return Store.open(f"{s3_server.url}/tests/{prefix}", storage_options=s3_server.options)


class TestS3Store(StoreContract):
    pass


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_large_files_travel_in_parts(store: Store, tmp_path: Path, size: int) -> None:
    body = os.urandom(1024) * (size // 1024 + 1)
    manifest = store.publish(make_draft(tmp_path, files={"model.safetensors": body[:size]}))
    assert (store.fetch(manifest, tmp_path / "cache") / "model.safetensors").read_bytes() == body[:size]


def test_the_environment_names_endpoint_and_credentials(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = Store.open(f"{s3_server.url}/environment")
    assert store.find(store.publish(make_draft(tmp_path)).ref)


def test_a_forked_child_opens_its_own_client(store: Store, tmp_path: Path) -> None:
    store.publish(make_draft(tmp_path))

    def publish_and_leave() -> None:
        try:
            store.publish(make_draft(tmp_path, seed=1))
        except BaseException:  # noqa: BLE001 - shown by the parent
            (tmp_path / "fault").write_text(traceback.format_exc())
        # An ordinary end would tear down what the parent's other tests have left behind, clients of closed loops too.
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=publish_and_leave)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert not (tmp_path / "fault").exists(), (tmp_path / "fault").read_text()
    assert len(store.list()) == 2


def test_a_first_try_whose_answer_was_lost_is_recognised(store: Store) -> None:
    assert store.backend.create("x", b"mine")
    assert store.backend.create("x", b"mine")
    assert not store.backend.create("x", b"theirs")


def test_a_long_listing_is_read_to_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store.backend, S3Backend)
    for number in range(7):
        store.backend.create(f"folder/{number}/x", b"x")
    call = S3Backend._call

    def short_pages(self: S3Backend, method: str, **arguments: object) -> dict[str, object]:
        return call(self, method, **arguments, **({"MaxKeys": 2} if method == "list_objects_v2" else {}))

    monkeypatch.setattr(S3Backend, "_call", short_pages)
    assert store.backend.names("folder") == [str(number) for number in range(7)]
    store.backend.remove("folder")
    assert store.backend.names("folder") == []


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_publication_leaves_nothing_visible(store: Store, s3_server: S3Server, tmp_path: Path) -> None:
    files = {name: os.urandom(PART_BYTES + 1) for name in "abcdefgh"}
    program = (
        "import pathlib, sys\nfrom appo_core.artifacts import Store\nfrom tests.drafts import make_draft\n"
        "store = Store.open(sys.argv[1])\nprint('going', flush=True)\n"
        "folder = pathlib.Path(sys.argv[2]) / 'dataset-demo-0'\n"
        "files = {path.name: path.read_bytes() for path in folder.iterdir()}\n"
        "store.publish(make_draft(pathlib.Path(sys.argv[2]), files=files))\n"
    )
    draft = make_draft(tmp_path, files=files)
    process = subprocess.Popen(
        [sys.executable, "-c", program, store.url, str(tmp_path)],
        env={**os.environ, **s3_server.environment},
        stdout=subprocess.PIPE,
    )
    while process.poll() is None and not store.backend.names("dataset/demo/data"):
        time.sleep(0.02)
    assert process.poll() is None, "the publication ended before it could be killed"
    process.kill()
    process.communicate()
    assert list(store.list()) == []
    assert store.find(store.publish(draft).ref).total_bytes == 8 * (PART_BYTES + 1)
    assert store.verify() == []


@pytest.mark.faults
def test_a_missing_bucket_is_said(s3_server: S3Server, tmp_path: Path) -> None:
    store = Store.open("s3://nobody/x", storage_options=s3_server.options)
    for work in (lambda: store.find("model/demo"), lambda: store.publish(make_draft(tmp_path)), store.list):
        assert complaint(work) == (
            f"store s3://nobody at {s3_server.endpoint}: no such bucket; create it or correct the store's URL"
        )


@pytest.mark.faults
def test_an_unreachable_server_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    store = Store.open("s3://bucket", storage_options={"endpoint_url": endpoint, "key": "a", "secret": "b"})
    with pytest.raises(StoreError) as caught:
        store.find("model/demo")
    assert caught.value.transient
    assert f"store s3://bucket at {endpoint}: not reachable (" in str(caught.value)
    assert str(caught.value).endswith("; start the server or correct AWS_ENDPOINT_URL")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "InvalidAccessKeyId", "wrong credentials (InvalidAccessKeyId); set AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "wrong credentials (SignatureDoesNotMatch); set AWS_ACCESS_KEY_ID"),
        (403, "AccessDenied", "access denied (AccessDenied); check the credentials"),
        (507, "QuotaExceeded", "the server answered QuotaExceeded"),
    ],
)
def test_refusals_are_said(tmp_path: Path, status: int, code: str, expected: str) -> None:
    with refusing_server(status, code) as endpoint:
        store = Store.open("s3://bucket", storage_options={"endpoint_url": endpoint, "key": "a", "secret": "b"})
        for work in (lambda: store.find("model/demo"), lambda: store.publish(make_draft(tmp_path)), store.list):
            assert expected in complaint(work)


@pytest.mark.faults
def test_a_server_that_is_no_s3_server_is_said(tmp_path: Path) -> None:
    with refusing_server(404, "") as endpoint:
        store = Store.open("s3://bucket", storage_options={"endpoint_url": endpoint, "key": "a", "secret": "b"})
        for work in (lambda: store.publish(make_draft(tmp_path)), store.list, store.require_writable):
            assert complaint(work) == (
                f"store s3://bucket at {endpoint}: the server answered 404, as no S3 server does; "
                "correct AWS_ENDPOINT_URL and the store's URL"
            )


@pytest.mark.faults
def test_absent_credentials_are_said(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    store = Store.open(s3_server.url, storage_options={"endpoint_url": s3_server.endpoint})
    assert "no credentials; set AWS_ACCESS_KEY_ID" in complaint(lambda: store.find("model/demo"))


@pytest.mark.faults
def test_a_server_that_ignores_conditions_is_refused(tmp_path: Path) -> None:
    with refusing_server(200, "") as endpoint:
        store = Store.open("s3://bucket", storage_options={"endpoint_url": endpoint, "key": "a", "secret": "b"})
        store.backend._put_if("x", b"y", IfNoneMatch="*")
        with pytest.raises(StoreError, match="does not honour create-only writes; use a server with conditional puts"):
            store.require_writable()


def complaint(work: object) -> str:
    with pytest.raises(StoreError) as caught:
        work()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def refusing_server(status: int, code: str) -> Iterator[str]:
    """An HTTP server that gives every request the same S3 answer: servers for tests accept any secret."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
