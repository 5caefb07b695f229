"""How a stage's work talks to whoever started it.

A stage runs as ``python -m appo_core.jobs.<stage> job.json`` in its own environment. It reads one `Job`, writes
its results under ``job.output``, keeps what a resumed run needs under ``job.work``, and reports JSON lines on
standard output (anything else there is an ordinary log line). Exit codes: 0 done, 2 bad input (a retry cannot
help), 3 a passing fault (a retry may help), 1 anything unexpected.
"""

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

EXIT_OK, EXIT_UNEXPECTED, EXIT_BAD_INPUT, EXIT_TRANSIENT = 0, 1, 2, 3


class Job(BaseModel):
    """One unit of stage work.

    `settings` is the dump of the stage's settings model; `inputs` maps a role (`model`, `data`, `corpus`, ...) to a
    local folder; `context` holds what is no setting: artifact versions, served names, endpoints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, Any]
    inputs: dict[str, Path] = {}
    output: Path
    work: Path
    context: dict[str, Any] = {}

    def input(self, role: str) -> Path:
        """Folder of one input; raises `JobError` when the role is missing or the folder is not there."""
        if role not in self.inputs:
            raise JobError(f"input '{role}' is missing", remedy="name it in the job's inputs")
        path = self.inputs[role]
        if not path.exists():
            raise JobError(
                f"input '{role}': {path} does not exist", remedy="check the path or re-run the earlier stage"
            )
        return path


class Event(BaseModel):
    """One line of a job's report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: Literal["progress", "log", "error", "result"]
    message: str = ""
    remedy: str = ""
    current: float = 0
    total: float = 0
    unit: str = ""
    metrics: dict[str, Any] = {}

    def line(self) -> str:
        """The event as one JSON line."""
        return self.model_dump_json(exclude_defaults=True)

    @classmethod
    def parse(cls, line: str) -> "Event | None":
        """The event in a line of output, or None for an ordinary log line."""
        if not line.startswith('{"event"'):
            return None
        try:
            return cls.model_validate_json(line)
        except ValidationError:
            return None


class JobError(Exception):
    """A fault with a cause and a remedy, shown to the user without a traceback."""

    def __init__(self, message: str, *, remedy: str = "", exit_code: int = EXIT_BAD_INPUT) -> None:
        super().__init__(message)
        self.message, self.remedy, self.exit_code = message, remedy, exit_code


class Reporter:
    """Writes events to standard output."""

    def progress(self, current: float, total: float, *, unit: str, message: str = "", **metrics: Any) -> None:
        """How far the job is, with its newest metrics."""
        self._emit(Event(event="progress", current=current, total=total, unit=unit, message=message, metrics=metrics))

    def log(self, message: str) -> None:
        """One line for people."""
        self._emit(Event(event="log", message=message))

    def result(self, **metrics: Any) -> None:
        """The job's summary metrics; the last event of a job that succeeded."""
        self._emit(Event(event="result", metrics=metrics))

    def error(self, error: JobError) -> None:
        """Why the job failed."""
        self._emit(Event(event="error", message=error.message, remedy=error.remedy))

    @staticmethod
    def _emit(event: Event) -> None:
        print(event.line(), flush=True)


def run_job(work: Callable[[Job, Reporter], None]) -> None:
    """Entry point of a stage command: parse the job, run `work`, turn faults into events and exit codes."""
    reporter = Reporter()
    try:
        job = Job.model_validate(json.loads(Path(sys.argv[1]).read_text()))
        job.output.mkdir(parents=True, exist_ok=True)
        job.work.mkdir(parents=True, exist_ok=True)
        work(job, reporter)
    except JobError as error:
        reporter.error(error)
        sys.exit(error.exit_code)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reporter.error(JobError(f"job settings: {where}: {first['msg']}", remedy="correct this key"))
        sys.exit(EXIT_BAD_INPUT)
    except Exception as error:
        traceback.print_exc()
        reporter.error(JobError(f"{type(error).__name__}: {error}", remedy="see the log above"))
        sys.exit(EXIT_UNEXPECTED)
