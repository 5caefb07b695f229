"""Symbolic comparison in killable processes: a hanging expression costs its time-out, never the run.

Comparisons come from any thread. Workers are started on first use, kept, replaced after a time-out, and end with
their standard input, so also when this process dies.
"""

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

Outcome = Literal["equal", "different", "timeout", "unreadable"]
"""`timeout`: no verdict within the limit; `unreadable`: memory ran out or the worker crashed. Neither means wrong."""

COMPARE_TIMEOUT_S = 5.0
"""CPU seconds of one comparison."""
WORKERS = 2


class MathVerifyMissingError(RuntimeError):
    """math-verify cannot be imported in this environment."""


class MathPool:
    """At most `workers` symbolic comparisons at a time, each at most `timeout_s` CPU seconds."""

    def __init__(self, workers: int = WORKERS, timeout_s: float = COMPARE_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._idle: queue.LifoQueue[subprocess.Popen[str] | None] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._started: list[subprocess.Popen[str]] = []
        for _ in range(workers):
            self._idle.put(None)

    def compare(self, prediction: str, gold: str) -> Outcome:
        """Compare two answers; blocks. Raises `MathVerifyMissingError`."""
        worker = self._idle.get()
        try:
            worker = worker if worker is not None and worker.poll() is None else self._start()
            outcome = self._ask(worker, json.dumps([prediction, gold]))
        finally:
            self._idle.put(worker)
        return outcome

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            started, self._started = self._started, []
        for worker in started:
            worker.kill()
            worker.wait()

    def _start(self) -> subprocess.Popen[str]:
        root = str(Path(__file__).resolve().parents[2])
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "appo_core.rewards.math_worker", str(self._timeout_s)]
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        with self._lock:
            self._started = [other for other in self._started if other.poll() is None] + [worker]
        if worker.stdout is None or worker.stdout.readline() != "ready\n":
            raise MathVerifyMissingError(
                f"the math-verify worker does not start under {sys.executable}; score in the engine environment"
            )
        return worker

    def _ask(self, worker: subprocess.Popen[str], question: str) -> Outcome:
        """One question and its answer; a worker that ended instead is told apart by how it ended."""
        if worker.stdin is None or worker.stdout is None:
            raise RuntimeError("the math worker has no pipes")
        try:
            worker.stdin.write(question + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            verdict = json.loads(answer)
            return "unreadable" if verdict is None else "equal" if verdict else "different"
        return "timeout" if -worker.wait() in (signal.SIGALRM, signal.SIGPROF) else "unreadable"


_shared: MathPool | None = None
_shared_lock = threading.Lock()


def shared_pool() -> MathPool:
    """The pool of this process, made on first use and closed at exit."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = MathPool()
            atexit.register(_shared.close)
        return _shared
