"""Progress of an evaluation, reported at most twice a second."""

import time
from collections.abc import Callable

from appo_core.evaluation.samples import Sample
from appo_core.jobs.contract import Reporter

INTERVAL_S = 0.5


class Progress:
    """Counts finished samples and tells the reporter."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter, self._clock = reporter, clock
        self._began = self._told = clock()
        self.done = self.total = self._resumed = 0
        self._calls = self._tokens = 0

    def start(self, total: int, resumed: int) -> None:
        """Begin with `resumed` of `total` samples already there."""
        self.total, self.done, self._resumed = total, resumed, resumed
        self._began = self._clock()
        if resumed:
            self._reporter.log(f"going on after {resumed} finished samples of {total}")
        self._tell("sampling")

    def finished(self, benchmark: str, sample: Sample) -> None:
        """Count one more sample."""
        self.done += 1
        self._calls += sample.calls_made
        self._tokens += sample.generated_tokens
        if self.done == self.total or self._clock() - self._told >= INTERVAL_S:
            self._tell(benchmark)

    def _tell(self, message: str) -> None:
        self._told = self._clock()
        made, seconds = self.done - self._resumed, max(self._told - self._began, 1e-6)
        self._reporter.progress(
            self.done,
            self.total,
            unit="samples",
            message=message,
            samples_per_second=round(made / seconds, 2),
            tokens_per_second=round(self._tokens / seconds, 1),
            tool_calls_per_sample=round(self._calls / made, 3) if made else 0.0,
        )
