"""A job's events on their way to people: Prefect's progress artifact and log, and whoever else listens."""

import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from appo_core.jobs.contract import Event

LEAST_UPDATE_S = 2.0
"""At most one update of the progress artifact in this time; a fast job must not flood the server."""
LEAST_LOG_S = 15.0

Watcher = Callable[[str, Event], None]
"""Called with the stage's title and each event."""
Log = logging.Logger | logging.LoggerAdapter[Any]

_WATCHERS: list[Watcher] = []


def watch(watcher: Watcher) -> Callable[[], None]:
    """Show every event of this process to `watcher`; the returned function ends that."""
    _WATCHERS.append(watcher)
    return lambda: _WATCHERS.remove(watcher)


def announce(title: str, message: str) -> None:
    """One line to whoever watches this process."""
    for watcher in tuple(_WATCHERS):
        watcher(title, Event(event="log", message=message))


class Progress:
    """Listens to one job's events."""

    def __init__(self, title: str, key: str, log: Log) -> None:
        self.title, self._key, self._log = title, key, log
        self._artifact: UUID | None = None
        self._updated = self._logged = float("-inf")
        self._last: Event | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        for watcher in tuple(_WATCHERS):
            watcher(self.title, event)
        if event.event == "progress":
            self._progress(event)
        elif event.event == "log":
            self._log.info("%s: %s", self.title, event.message)

    def close(self) -> None:
        """Write the last state that was held back."""
        if self._last is not None:
            self._update(self._last)

    def _progress(self, event: Event) -> None:
        now, self._last = time.monotonic(), event
        if now - self._updated >= LEAST_UPDATE_S:
            self._update(event)
            self._updated = now
        if now - self._logged >= LEAST_LOG_S:
            self._log.info("%s: %s", self.title, describe(event))
            self._logged = now

    def _update(self, event: Event) -> None:
        percent = min(100.0, 100.0 * event.current / event.total) if event.total else 0.0
        if self._artifact is None:
            made = create_progress_artifact(percent, key=self._key, description=describe(event))
            self._artifact = cast(UUID, made)
        else:
            update_progress_artifact(self._artifact, percent, description=describe(event))
        self._last = None


def describe(event: Event) -> str:
    """One line: `step 3 of 30, reward 0.42`."""
    count = f"{event.unit} {event.current:g} of {event.total:g}" if event.total else ""
    return ", ".join(part for part in (event.message, count, *_figures(event.metrics)) if part)


def _figures(metrics: MutableMapping[str, Any]) -> list[str]:
    return [f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float)]
