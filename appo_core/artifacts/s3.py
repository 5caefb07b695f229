"""A store in an S3 bucket: conditional puts decide races, parts travel in parallel."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import s3fs

from appo_core.artifacts.backend import PART_BYTES, Backend, Tagged, read_parts
from appo_core.artifacts.errors import StoreError
from appo_core.artifacts.s3_errors import error_code, explain, no_s3

T = TypeVar("T")
R = TypeVar("R")

_MAX_PARTS = 9000
_RETRIES = {"mode": "standard", "total_max_attempts": 3}
"""Of one request, with growing pauses; s3fs repeats the whole call once more, for bodies cut short."""
_WINDOW = 4
"""Parts of one file that are on their way at the same time."""


class S3Backend(Backend):
    """Objects under `bucket/prefix`; credentials and endpoint come from `options` (of s3fs) or the environment."""

    def __init__(self, bucket: str, prefix: str, options: dict[str, Any]) -> None:
        self.bucket, self.prefix = bucket, prefix.strip("/")
        self._options = _with_defaults(options)
        self._fs: s3fs.S3FileSystem | None = None
        self._inherited: list[s3fs.S3FileSystem | None] = []
        self._process = 0

    def read(self, key: str) -> bytes:
        """All bytes of an object."""
        with self._faults():
            # max_concurrency 1: otherwise s3fs asks for the size first, and a refused HEAD has no error code
            return self._files().cat_file(f"{self.bucket}/{self._key(key)}", max_concurrency=1)

    def read_tagged(self, key: str) -> Tagged:
        """Bytes and ETag; the tag is read first, so a change in between makes the swap fail."""
        tag = self._call("head_object", Key=self._key(key))["ETag"]
        return Tagged(self.read(key), tag)

    def create(self, key: str, body: bytes) -> bool:
        """A put that fails when there is an object already."""
        return self._put_if(key, body, IfNoneMatch="*")

    def swap(self, key: str, body: bytes, tag: str) -> bool:
        """A put that fails when the object has another ETag."""
        return self._put_if(key, body, IfMatch=tag)

    def _put_if(self, key: str, body: bytes, **condition: str) -> bool:
        """A conditional put. A refused one may have been this writer's own first try whose answer was lost."""
        while True:
            try:
                self._call("put_object", Key=self._key(key), Body=body, **condition)
                return True
            except _ConditionFailed as refusal:
                if refusal.undecided:
                    time.sleep(0.05)  # another conditional put is under way; S3 asks to try again
                    continue
            with suppress(FileNotFoundError):
                return self.read(key) == body
            return False

    def upload(self, source: Path, key: str) -> tuple[int, str]:
        """One put for a small file, parallel parts for a large one."""
        size = source.stat().st_size
        if size <= PART_BYTES:
            body = source.read_bytes()
            self._call("put_object", Key=self._key(key), Body=body)
            return len(body), hashlib.sha256(body).hexdigest()
        return self._upload_parts(source, self._key(key), max(PART_BYTES, -(-size // _MAX_PARTS)))

    def _upload_parts(self, source: Path, key: str, part_bytes: int) -> tuple[int, str]:
        upload = self._call("create_multipart_upload", Key=key)["UploadId"]
        digest, sizes = hashlib.sha256(), []

        def numbered() -> Iterator[tuple[int, bytes]]:
            for number, part in enumerate(read_parts(source, part_bytes), start=1):
                digest.update(part)
                sizes.append(len(part))
                yield number, part

        def send(item: tuple[int, bytes]) -> dict[str, Any]:
            number, body = item
            sent = self._call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=body)
            return {"ETag": sent["ETag"], "PartNumber": number}

        try:
            parts = list(_in_order(send, numbered()))
            self._call("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(StoreError, FileNotFoundError):
                self._call("abort_multipart_upload", Key=key, UploadId=upload)
            raise
        return sum(sizes), digest.hexdigest()

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """Ranges fetched in parallel, yielded in order."""
        path = f"{self.bucket}/{self._key(key)}"
        if size < PART_BYTES:
            yield self.read(key)
            return

        def fetch(start: int) -> bytes:
            with self._faults():
                return self._files().cat_file(path, start=start, end=min(start + PART_BYTES, size))

        yield from _in_order(fetch, range(0, size, PART_BYTES))

    def names(self, prefix: str) -> list[str]:
        """Names of objects and folders, from the server (listings are never cached)."""
        folder = self._key(prefix) + "/"
        pages = list(self._pages(Prefix=folder, Delimiter="/"))
        found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
        found += [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(name for name in (key.removeprefix(folder).strip("/") for key in found) if name)

    def remove(self, prefix: str) -> None:
        """Removes object by object."""
        keys = [
            item["Key"] for page in self._pages(Prefix=self._key(prefix) + "/") for item in page.get("Contents", [])
        ]
        for key in keys:
            self._call("delete_object", Key=key)

    def _pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", **query, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        with self._faults():
            try:
                return self._files().call_s3(method, Bucket=self.bucket, **arguments)
            except FileNotFoundError as error:
                if method == "head_object" or error_code(error) == "NoSuchBucket":
                    raise
                raise no_s3(error, self.bucket, self._endpoint) from None

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/")

    def _files(self) -> s3fs.S3FileSystem:
        """This process's own client: one taken over by fork() would wait for a thread that is not there.

        It is kept, though: closing it would take its sockets from the parent's event loop, whose epoll is shared.
        """
        if self._fs is None or self._process != os.getpid():
            self._inherited.append(self._fs)
            self._fs = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False, **self._options)
            self._fs.retries = 2
            self._process = os.getpid()
        return self._fs

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns what the server or the network refuses into a `StoreError`."""
        try:
            yield
        except (StoreError, _ConditionFailed):
            raise
        except Exception as error:
            code = error_code(error)
            if code in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                raise _ConditionFailed(undecided=code in ("ConditionalRequestConflict", "409")) from None
            if isinstance(error, FileNotFoundError) and code != "NoSuchBucket":
                raise
            raise explain(error, self.bucket, self._endpoint) from None

    @property
    def _endpoint(self) -> str:
        return str(self._options.get("endpoint_url") or "")


class _ConditionFailed(Exception):
    def __init__(self, *, undecided: bool) -> None:
        super().__init__()
        self.undecided = undecided


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """s3fs options with the endpoint of the environment and short network time-outs."""
    endpoint = (
        options.get("endpoint_url")
        or (options.get("client_kwargs") or {}).get("endpoint_url")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
    )
    config: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 30, "retries": _RETRIES}
    if endpoint:
        config["s3"] = {"addressing_style": "path"}  # servers of one's own rarely have a DNS name per bucket
    config |= options.get("config_kwargs") or {}
    return {**options, **({"endpoint_url": endpoint} if endpoint else {}), "config_kwargs": config}


def _in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of `work` in the order of `items`, `_WINDOW` at a time, so that memory stays bounded."""
    with ThreadPoolExecutor(_WINDOW) as pool:
        pending: deque[Future[R]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > _WINDOW:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
