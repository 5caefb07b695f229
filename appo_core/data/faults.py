"""Faults of files and stores, said in one line with a remedy."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from appo_core.jobs.contract import EXIT_BAD_INPUT, EXIT_TRANSIENT, JobError


@contextmanager
def one_line_faults(url: str) -> Iterator[None]:
    """Turn whatever reading `url` raises into a `JobError`; an unreachable store is one that a retry may help."""
    try:
        yield
    except FileNotFoundError as error:
        raise JobError(f"{url}: no such file", remedy="correct the path in data.source") from error
    except IsADirectoryError as error:
        raise JobError(f"{url}: a folder, not a file", remedy="name the file in data.source") from error
    except PermissionError as error:
        raise JobError(f"{url}: no permission to read", remedy="check its rights or the store's credentials") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise JobError(f"{url}: corrupt gzip file ({error})", remedy="fetch or compress it again") from error
    except (ValueError, ImportError) as error:
        raise JobError(f"{url}: {error}", remedy="use a path or an installed fsspec protocol (file, s3)") from error
    except OSError as error:
        remedy = "check that the store is reachable"
        raise JobError(f"{url}: cannot be read ({error})", remedy=remedy, exit_code=EXIT_TRANSIENT) from error
    except _s3_errors() as error:
        raise _s3_fault(url, error) from error


def _s3_errors() -> tuple[type[Exception], ...]:
    """What S3 raises beside `OSError`; imported only when something went wrong."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return ()
    return (BotoCoreError, ClientError)


def _s3_fault(url: str, error: Exception) -> JobError:
    from appo_core.artifacts.s3_errors import explain

    bucket = url.removeprefix("s3://").partition("/")[0]
    fault = explain(error, bucket, os.environ.get("AWS_ENDPOINT_URL", ""))
    code = EXIT_TRANSIENT if fault.transient else EXIT_BAD_INPUT
    return JobError(f"{url}: {fault.message}", remedy=fault.remedy, exit_code=code)
