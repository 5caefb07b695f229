"""From a URL to the backend that serves it."""

from pathlib import Path
from typing import Any

import fsspec

from appo_core.artifacts.backend import Backend
from appo_core.artifacts.errors import StoreError
from appo_core.artifacts.local import LocalBackend


def open_backend(url: str, options: dict[str, Any]) -> Backend:
    """The backend of a URL; raises `StoreError` for one that nothing here can open. Touches no network."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme in ("file", "local"):
        return LocalBackend(Path(rest if separator else url).expanduser().absolute())
    if scheme in ("s3", "s3a"):
        return _open_s3(url, rest, options)
    return _open_other(url, options)


def _open_s3(url: str, rest: str, options: dict[str, Any]) -> Backend:
    from appo_core.artifacts.s3 import S3Backend  # takes a second to import; local stores never need it

    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise StoreError(f"store {url} names no bucket", remedy="write s3://bucket or s3://bucket/prefix")
    return S3Backend(bucket, prefix, options)


def _open_other(url: str, options: dict[str, Any]) -> Backend:
    from appo_core.artifacts.remote import RemoteBackend

    try:
        files, root = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError, OSError) as error:
        raise StoreError(
            f"store {url} cannot be opened: {error}", remedy="use s3://, file:// or an installed fsspec file system"
        ) from None
    return RemoteBackend(files, root)
