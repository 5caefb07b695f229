"""Training runs as processes that start within a fraction of a second, so that many can be killed.

A fork server imports torch and transformers once; every life of a run is forked from it.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from appo_core.environments import ROOT


class Run:
    """One training job under `folder`, with as many lives as it takes."""

    def __init__(self, folder: Path, settings: dict[str, Any], inputs: dict[str, Path], ranks: int = 1) -> None:
        folder.mkdir(parents=True)
        self.folder, self.ranks, self.lives = folder, ranks, 0
        self.output, self.work = folder / "out", folder / "work"
        job = {
            "settings": settings,
            "inputs": {role: str(path) for role, path in inputs.items()},
            "output": str(self.output),
            "work": str(self.work),
        }
        self.job = folder / "job.json"
        self.job.write_text(json.dumps(job))

    @property
    def checkpoints(self) -> Path:
        """Where the run keeps its checkpoints."""
        return self.work / "checkpoints"

    def start(self) -> "Life":
        """A new life of the run."""
        self.lives += 1
        return Life(self)

    def finish(self) -> "Run":
        """Run to the end; fails with the log if it does not get there."""
        life = self.start()
        assert life.ended(timeout=300) == 0, self.log()
        return self

    def log_of(self, rank: int) -> Path:
        """The log of a rank's newest life."""
        return self.folder / f"life{self.lives}-{rank}.log"

    def log(self) -> str:
        """What the ranks of the last life said."""
        return "\n".join(path.read_text()[-3000:] for path in map(self.log_of, range(self.ranks)) if path.exists())


class Life:
    """The processes of one life, one per rank."""

    def __init__(self, run: Run) -> None:
        context = fork_server()
        port = str(_free_port()) if run.ranks > 1 else None
        self.processes = [
            context.Process(
                target=_live, args=(run.job, run.folder / f"life{run.lives}-{rank}.log", rank, run.ranks, port)
            )
            for rank in range(run.ranks)
        ]
        for process in self.processes:
            process.start()

    @staticmethod
    def warm() -> None:
        """Let the fork server import everything."""
        process = fork_server().Process(target=int)
        process.start()
        process.join()

    def kill(self, rank: int = 0) -> bool:
        """SIGKILL one rank, and then the others, as the launcher does; whether the life was still going on."""
        alive = self.processes[rank].is_alive()
        order = [self.processes[rank], *self.processes[:rank], *self.processes[rank + 1 :]]
        for process in order:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)
            process.join()
        return alive

    def wait_for(self, event: Callable[[], bool], timeout: float = 120) -> bool:
        """Wait until `event` or the end of the life; whether it was the event."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if event():
                return True
            if not any(process.is_alive() for process in self.processes):
                return False
            time.sleep(0.002)
        raise TimeoutError(str(self.processes))

    def ended(self, timeout: float) -> int | None:
        """The exit code of the first rank that failed, 0 when all ended well."""
        for process in self.processes:
            process.join(timeout)
        codes = [process.exitcode for process in self.processes]
        return next((code for code in codes if code), None if None in codes else 0)


def fork_server() -> ForkServerContext:
    """The context whose server has everything imported."""
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = str(ROOT)
    context.set_forkserver_preload(["tests.lives_preload"])
    return context


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _live(job: Path, log: Path, rank: int, ranks: int, port: str | None) -> None:
    """The body of one rank's process."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if port is not None:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
    from appo_core.jobs.contract import run_job
    from appo_core.training.run import train

    sys.argv = ["life", str(job)]
    try:
        run_job(train)
    except SystemExit as ending:
        sys.stdout.flush()
        os._exit(int(ending.code or 0))
    sys.stdout.flush()
    os._exit(0)
