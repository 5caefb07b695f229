"""Times and peak memory of functions."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def best_times(functions: Sequence[Callable[[], object]], repeat: int) -> list[float]:
    """Least time of each function in seconds; they run in turns, after one run that does not count.

    With one thread it is the process's processor time, which other work on the machine disturbs less than wall time.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    best = [float("inf")] * len(functions)
    for take in range(repeat + 1):
        for place, function in enumerate(functions):
            start = clock()
            function()
            if take:
                best[place] = min(best[place], clock() - start)
    return best


def peak_bytes(function: Callable[[], object]) -> float:
    """How far the process's memory rises while the function runs; NaN where the kernel does not tell (Linux does)."""
    try:
        CLEAR.write_text("5")
        before = _status("VmRSS")
        function()
        return float(_status("VmHWM") - before)
    except OSError:
        return float("nan")


def _status(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024
