"""Runs inside a small tmpfs: ``full_disk ROOM INPUTS``. Prints a JSON line for what happened.

The first checkpoint fits, the second does not; then room is made and the run is started again.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from appo_core.training.checkpoint import complete
from tests.integration.engine.test_kills import settings
from tests.lives import Run

ROOM = 150_000


def main() -> None:
    """Fill up, fail, make room, finish."""
    room, source = Path(sys.argv[1]), Path(sys.argv[2])
    inputs = {"model": source / "model", "data": source / "data"}
    run = Run(room / "run", settings(steps=3, validate_every=0, keep_best=None, keep_checkpoints=9), inputs)
    ballast = room / "ballast"
    life = run.start()
    life.wait_for(lambda: bool(complete(run.checkpoints)))
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    # Room for the rollouts and metrics of the steps to come, not for a checkpoint.
    os.truncate(ballast, ballast.stat().st_size - ROOM)
    code = life.ended(60)
    first = [path.name for path in run.checkpoints.iterdir()]
    said = run.log()
    ballast.unlink()
    run.finish()
    print(json.dumps({"code": code, "left": first, "log": said, "after": run.log()}))  # noqa: T201


if __name__ == "__main__":
    main()
