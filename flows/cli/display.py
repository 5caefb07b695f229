"""What a person sees while a flow runs: progress bars on a terminal, plain lines elsewhere; a summary at the end."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from appo_core.jobs.contract import Event

if TYPE_CHECKING:
    from flows.compare import CompareResult
    from flows.summary import PipelineResult

LEAST_LINE_S = 10.0
"""Without a terminal, at most one line per stage in this time."""
RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Show every event of this process's stages, and of Prefect's own log only what is not said otherwise."""
    from tasks.progress import watch

    hush()

    if console.is_terminal:
        with _bars(console) as bars:
            end = watch(_Bars(bars))
            try:
                yield
            finally:
                end()
        return
    end = watch(_Lines(console))
    try:
        yield
    finally:
        end()


def hush() -> None:
    """Keep from the console what the command itself says, as its last line, about the fault that ends it."""
    from prefect.logging.configuration import setup_logging

    setup_logging()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_said_otherwise)


def _said_otherwise(record: logging.LogRecord) -> bool:
    """Whether a line is to be printed: not the end of a failed run, nor that its last events are still on their way."""
    ended = record.name.startswith(RUN_LOGGERS) and record.levelno >= logging.ERROR
    return not ended and not record.getMessage().startswith("Still processing items")


class _Bars:
    """One bar per stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._ids = bars, dict[str, TaskID]()

    def __call__(self, title: str, event: Event) -> None:
        if title not in self._ids:
            self._ids[title] = self._bars.add_task(title, total=None, note="")
        if event.event == "progress":
            self._bars.update(self._ids[title], completed=event.current, total=event.total or None, note=_note(event))
        elif event.event == "log":
            self._bars.update(self._ids[title], note=event.message)


class _Lines:
    """Now and then a line per stage."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, dict[str, float]()

    def __call__(self, title: str, event: Event) -> None:
        from tasks.progress import describe

        now = time.monotonic()
        done = event.event == "progress" and event.current >= event.total
        due = now - self._last.get(title, float("-inf")) >= LEAST_LINE_S
        if event.event == "log":
            self._print(title, event.message)
        elif event.event == "progress" and (due or done):
            self._last[title] = now
            self._print(title, describe(event))

    def _print(self, title: str, text: str) -> None:
        self._console.print(f"{title}: {text}", markup=False, highlight=False, soft_wrap=True)


def _bars(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description:24}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return Progress(*columns, console=console)


def _note(event: Event) -> str:
    figures = [f"{k} {v:.4g}" for k, v in event.metrics.items() if isinstance(v, int | float)][:3]
    return ", ".join([f"{event.unit} {event.current:g}/{event.total:g}", *figures])


def print_result(console: Console, result: Any) -> None:
    """The summary of a finished flow."""
    if hasattr(result, "comparison"):
        _print_chain(console, result)
    elif hasattr(result, "variants"):
        _print_variants(console, result)
    elif hasattr(result, "outputs"):
        console.print(f"{result.stage}: {result.status} in {result.seconds} s", highlight=False)
        for role, ref in result.outputs.items():
            console.print(f"  {role}: {ref}", highlight=False)
    else:
        console.print(result.model_dump_json(indent=1), highlight=False, soft_wrap=True)


def _print_chain(console: Console, result: "PipelineResult") -> None:
    scores = Table("benchmark", "questions", "SFT", "RL", "RL - SFT", "apart", title=_title(result))
    for row in result.comparison.rows:
        cells = (row.benchmark, str(row.questions), row.sft, row.rl, row.difference)
        scores.add_row(*cells, "yes" if row.intervals_apart else "no")
    console.print(scores)
    for note in result.comparison.notes:
        console.print(note, highlight=False)
    times = Table("stage", "status", "seconds", title="Stage times")
    for one in result.stages:
        times.add_row(one.stage, one.status, f"{one.seconds:.1f}")
    times.add_row("all stages", "", f"{sum(one.seconds for one in result.stages):.1f}")
    console.print(times)
    console.print(f"model: {result.model}", highlight=False)
    console.print(f"lineage: appo lineage {result.model} --store {result.store}", highlight=False, soft_wrap=True)


def _print_variants(console: Console, result: "CompareResult") -> None:
    table = Table(*result.variants[0], title="mean over seeds [95 % interval]")
    for row in result.variants:
        table.add_row(*row.values())
    console.print(table)
    ran = sum(one.status == "ran" for one in result.stages)
    seconds = sum(one.seconds for one in result.stages)
    console.print(f"{ran} runs and reports made, {len(result.stages) - ran} reused; {seconds:.0f} s", highlight=False)
    console.print(f"report: {result.ref} in {result.store}", highlight=False, soft_wrap=True)


def _title(result: "PipelineResult") -> str:
    return f"pass@{result.comparison.k}, percent [95 % interval]"


def consoles(as_json: bool) -> Console:
    """Where people read: standard output, or standard error when a script reads standard output."""
    wide = None if sys.stdout.isatty() else 120
    return Console(stderr=as_json, width=wide)
