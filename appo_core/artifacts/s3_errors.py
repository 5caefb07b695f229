"""What went wrong on S3, said in one line."""

from typing import Any

from botocore.exceptions import (
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from appo_core.artifacts.errors import StoreError

_WRONG_KEY = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidSecurity"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403", "MethodNotAllowed", "405"}
_KEY_REMEDY = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a server of your own)"


def error_code(error: BaseException) -> str:
    """The server's error code behind an exception, or an empty string."""
    seen: BaseException | None = error
    while seen is not None:
        response: Any = getattr(seen, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        seen = seen.__cause__
    return ""


def explain(error: BaseException, bucket: str, endpoint: str) -> StoreError:
    """The `StoreError` that stands for an error of S3, botocore or the network."""
    where, code = _where(bucket, endpoint), error_code(error)
    if code == "NoSuchBucket":
        return StoreError(f"{where}: no such bucket", remedy="create it or correct the store's URL")
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
        return StoreError(f"{where}: no credentials", remedy=_KEY_REMEDY)
    if code in _WRONG_KEY:
        return StoreError(f"{where}: wrong credentials ({code})", remedy=_KEY_REMEDY)
    if code in _DENIED or isinstance(error, PermissionError):
        return StoreError(
            f"{where}: access denied ({code or error})",
            remedy="check the credentials and the bucket's read and write policy",
        )
    if isinstance(error, ConnectionError | HTTPClientError | OSError):
        return _unreachable(error, where, code)
    return StoreError(f"{where}: {_short(error)}", remedy="see the server's log")


def no_s3(error: BaseException, bucket: str, endpoint: str) -> StoreError:
    """The `StoreError` for "not found" where S3 never says so: to a listing or to a write."""
    answer = error_code(error) or "404"
    message = f"{_where(bucket, endpoint)}: the server answered {answer}, as no S3 server does"
    return StoreError(message, remedy="correct AWS_ENDPOINT_URL and the store's URL")


def _where(bucket: str, endpoint: str) -> str:
    return f"store s3://{bucket}" + (f" at {endpoint}" if endpoint else "")


def _unreachable(error: BaseException, where: str, code: str) -> StoreError:
    if code:
        return StoreError(f"{where}: the server answered {code}: {_short(error)}", remedy="see its log", transient=True)
    return StoreError(
        f"{where}: not reachable ({_short(error)})",
        remedy="start the server or correct AWS_ENDPOINT_URL",
        transient=True,
    )


def _short(error: BaseException) -> str:
    """Kind and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
