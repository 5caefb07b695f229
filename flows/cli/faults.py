"""Exit codes, and faults as one line."""

import functools
import json
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import typer

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_TRANSIENT, EXIT_INTERRUPTED = 1, 2, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 a run failed, or a check found problems; 2 bad usage or input; "
    "3 something is unreachable or failed for now (try again); 130 interrupted (run again to resume)."
)

P = ParamSpec("P")
R = TypeVar("R")


class CliError(Exception):
    """A fault of the command line itself."""

    def __init__(self, message: str, code: int = EXIT_BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose known faults end in one line and an exit code, never in a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            fail("interrupted; run the same command again to resume", EXIT_INTERRUPTED, bool(kwargs.get("as_json")))
        except Exception as error:
            known = lost_server(error) or error
            code = exit_code(known)
            if code is None:
                raise
            fail(str(known), code, bool(kwargs.get("as_json")))

    return run


def lost_server(error: Exception) -> CliError | None:
    """The fault of a Prefect server that went away in the middle of a run; None for any other."""
    if "httpx" not in sys.modules:
        return None
    import httpx

    if not isinstance(error, httpx.TransportError):
        return None
    server = os.environ.get("PREFECT_API_URL", "its address")
    return CliError(
        f"the Prefect server at {server} does not answer any more ({error}); run the same command again: finished "
        "stages are reused, the interrupted one resumes",
        EXIT_TRANSIENT,
    )


def exit_code(error: Exception) -> int | None:
    """The exit code of a known fault; None for an unknown one."""
    from appo_core.artifacts import StoreError
    from appo_core.config.presets import PresetError
    from appo_core.jobs.contract import EXIT_TRANSIENT as JOB_TRANSIENT
    from appo_core.jobs.contract import JobError

    if isinstance(error, CliError):
        return error.code
    if isinstance(error, PresetError):
        return EXIT_BAD_INPUT
    if isinstance(error, StoreError):
        return EXIT_TRANSIENT if error.transient else EXIT_BAD_INPUT
    if isinstance(error, JobError):
        return EXIT_TRANSIENT if error.exit_code == JOB_TRANSIENT else EXIT_BAD_INPUT
    if "tasks.errors" in sys.modules:
        from tasks.errors import StageError

        if isinstance(error, StageError):
            return EXIT_BAD_INPUT if error.bad_input else EXIT_TRANSIENT if error.transient else EXIT_FAILED
    return None


def fail(message: str, code: int, as_json: bool) -> NoReturn:
    """Say what went wrong, in one line on standard error (as JSON on standard output if asked for), and exit."""
    line = " ".join(message.split())
    if as_json:
        typer.echo(json.dumps({"error": line, "exit_code": code}))
    typer.echo(f"error: {line}", err=True)
    raise typer.Exit(code)
