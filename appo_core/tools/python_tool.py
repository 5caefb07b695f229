"""The Python tool: model-written code in a sandbox, fresh state for every call."""

import asyncio
import queue
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from appo_core.config import PythonToolSettings
from appo_core.tools.base import ToolOutcome
from appo_core.tools.sandbox import CallLimits, Execution, SandboxBrokenError, Worker
from appo_core.tools.selftest import Factory, find_sandbox


class PythonTool:
    """Runs at most `settings.workers` calls at a time; a sandbox that breaks is replaced at its next call."""

    name = "python"

    def __init__(self, settings: PythonToolSettings, factory: Factory | None = None) -> None:
        """Tries the sandboxes of this machine first. Raises `SandboxUnavailableError` when none contains code."""
        make = factory or find_sandbox(settings.backend)
        self._settings = settings
        self._limits = CallLimits(settings.timeout_s, settings.memory_mb * 2**20)
        self._workers: list[Worker] = [make() for _ in range(settings.workers)]
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(settings.workers, thread_name_prefix="python-tool")

    async def call(self, argument: str) -> ToolOutcome:
        """Run code; the output is what `python -c` prints, a last bare expression included."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, argument)

    async def close(self) -> None:
        """End every sandbox; calls that still run fail."""
        for worker in self._workers:
            worker.close()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    def _run(self, code: str) -> ToolOutcome:
        worker, started = self._idle.get(), time.monotonic()
        try:
            execution = worker.execute(code, self._limits)
        except SandboxBrokenError as error:
            return ToolOutcome(f"Execution exception: {error}", "sandbox", time.monotonic() - started)
        finally:
            self._idle.put(worker)
        text, failure = describe(execution, self._settings)
        return ToolOutcome(text, failure, time.monotonic() - started)


def describe(execution: Execution, settings: PythonToolSettings) -> tuple[str, str | None]:
    """The text the model reads, and the failure's name: standard output on success, else standard error."""
    if execution.ended == "timeout":
        return f"Execution timeout (exceeded {settings.timeout_s:g}s)", "timeout"
    if execution.ended == "flood":
        return shorten(execution.out + execution.err, settings.max_output_chars) + "\n[ended: too much output]", None
    if execution.status == 0:
        return shorten(execution.out.strip(), settings.max_output_chars), None
    text = execution.err.strip()
    if execution.status < 0:
        text = f"{text}\nThe process was killed by {_signal_name(-execution.status)}.".strip()
    return shorten(text, settings.max_output_chars), None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def shorten(text: str, limit: int) -> str:
    """The text, or its beginning and end around a notice of how many characters were left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[len(text) - half :]}"
