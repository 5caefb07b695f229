"""One persistent work folder per stage key."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appo_core.local import home


@contextmanager
def work_folder(stage: str, key: str, on_wait: Callable[[], None]) -> Iterator[Path]:
    """The work folder of a stage key, held by one process at a time.

    It outlives a failed or killed run, so that the next one resumes, and is removed when the block succeeds.
    `on_wait` is called once if another process holds it.
    """
    folder = home() / "work" / f"{stage}-{key[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
