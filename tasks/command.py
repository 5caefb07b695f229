"""Runs one job in its stage environment: events to a listener, faults to `StageError`, nothing left running."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from appo_core.jobs.contract import EXIT_BAD_INPUT, EXIT_OK, EXIT_TRANSIENT, Event, Job
from appo_core.processes import Process, clean_environment
from tasks.environments import EnvironmentName, environment_python
from tasks.errors import StageError

POLL_S = 0.2
TAIL_LINES = 5
"""Lines of ordinary output that a fault without an error event quotes."""
EXIT_NOT_STARTED = 127
GRACE_S = 20.0
"""How long a job may take to end after SIGTERM, before it is killed."""

THREADS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""Unless the environment says otherwise. Threads that wait by spinning lose most of their speed, ten times and more,
as soon as anything else needs a core; waiting passively costs little on a quiet machine."""

Listener = Callable[[Event], None]


def run_command(
    module: str,
    environment: EnvironmentName,
    job: Job,
    *,
    folder: Path,
    listen: Listener,
    tick: Callable[[], None] = lambda: None,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `python -m <module> job.json` in `environment` and give its result metrics.

    `folder` gets `job.json` and `job.log`. Events go to `listen` in the calling thread, and `tick` is called there
    several times a second. On any exception, an interrupt and a cancel included, the job and everything it started is
    ended first. Raises `StageError`.
    """
    path = folder / "job.json"
    path.write_text(job.model_dump_json(indent=1))
    log = folder / "job.log"
    argv = [str(environment_python(environment)), "-P", "-m", module, str(path)]
    lines: SimpleQueue[str] = SimpleQueue()
    seen = _Seen()
    process = Process.start(argv, env=_environment(env), log=log, on_line=lines.put)
    try:
        for line in _follow(process, lines, tick):
            event = seen.take(line)
            if event is not None:
                listen(event)
        code = process.wait()
    finally:
        process.stop(GRACE_S)
    if code != EXIT_OK:
        raise seen.fault(module, code, log)
    return seen.metrics


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """The job's environment: unbuffered, with nothing of this process's Python in it."""
    defaults = {name: value for name, value in THREADS.items() if name not in os.environ}
    return clean_environment({"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", **defaults, **(extra or {})})


def _follow(process: Process, lines: "SimpleQueue[str]", tick: Callable[[], None]) -> Iterator[str]:
    """Every line of output, until the process and all it started are gone."""
    while True:
        tick()
        try:
            yield lines.get(timeout=POLL_S)
        except Empty:
            if process.poll() is not None:
                break
    process.wait()
    while not lines.empty():
        yield lines.get()


class _Seen:
    """What a job has reported so far."""

    def __init__(self) -> None:
        self.metrics: dict[str, Any] = {}
        self.error: Event | None = None
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def take(self, line: str) -> Event | None:
        """The event in a line; a result and an error are also kept."""
        event = Event.parse(line)
        if event is None:
            if line.strip():
                self.tail.append(line.strip())
            return None
        if event.event == "result":
            self.metrics = event.metrics
        if event.event == "error":
            self.error = event
        return event

    def fault(self, module: str, code: int, log: Path) -> StageError:
        """The fault behind an exit code."""
        stage = module.rpartition(".")[2]
        if self.error is not None and code in (EXIT_BAD_INPUT, EXIT_TRANSIENT, 1):
            remedy = self.error.remedy.replace("the log above", str(log))
            transient, bad_input = code == EXIT_TRANSIENT, code == EXIT_BAD_INPUT
            message = f"{stage}: {self.error.message}"
            return StageError(message, remedy=remedy, transient=transient, bad_input=bad_input)
        if code < 0:
            killed = f"{stage}: killed by signal {-code}"
            return StageError(
                killed, remedy="if memory ran out, lower the batch sizes; run again to resume", transient=True
            )
        last = self.tail[-1][:300] if self.tail else "no output"
        if code == EXIT_NOT_STARTED:
            return StageError(f"{stage}: could not be started: {last}", remedy="run `appo doctor`")
        return StageError(f"{stage}: exit code {code}: {last}", remedy=f"see {log}", transient=code == EXIT_TRANSIENT)
