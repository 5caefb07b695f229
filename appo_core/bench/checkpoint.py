"""``python -m appo_core.bench.checkpoint [--quick] [--json]``: how long a checkpoint holds training up.

*Held up* is what a step waits for (copying); *whole* is until the marker is there, which is what a save that blocks
would hold training up for. In turns, on the machine's temporary folder; medians.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from appo_core.bench.model import LARGE, SMALL, TINY, make_model
from appo_core.bench.table import Figure, show
from appo_core.config.model import TinyModel
from appo_core.config.rl import OptimizerSettings
from appo_core.training.checkpoint import TrainState
from appo_core.training.policy import load_policy
from appo_core.training.ranks import Ranks
from appo_core.training.saver import Saver
from appo_core.training.update import build_optimizer

REPEAT = 7


def measure(folder: Path, settings: TinyModel, repeat: int) -> tuple[int, float, float]:
    """Parameters, and seconds that a save holds training up and takes in all."""
    count = make_model(folder / "model", settings)
    ranks = Ranks.start()
    policy = load_policy(folder / "model", ranks, precision="fp32", gradient_checkpointing=False)
    optimizer = build_optimizer(policy, OptimizerSettings())
    for parameter in policy.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    held, whole = [], []
    with Saver(folder / "checkpoints", ranks, keep=1, identity={}) as saver:
        for step in range(repeat + 1):
            began = time.perf_counter()
            saver.start(policy, optimizer, TrainState(step))
            held.append(time.perf_counter() - began)
            saver.wait()
            whole.append(time.perf_counter() - began)
    return count, statistics.median(held[1:]), statistics.median(whole[1:])


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = []
    for settings in (TINY,) if given.quick else (SMALL, LARGE):
        with tempfile.TemporaryDirectory() as folder:
            count, held, whole = measure(Path(folder), settings, 1 if given.quick else REPEAT)
        name = f"{count / 1e6:.1f} M weights"
        figures += [
            Figure(f"{name}: held up", held * 1e3, "ms"),
            Figure(f"{name}: whole", whole * 1e3, "ms"),
            Figure(f"{name}: share of a blocking save", 100 * held / whole, "%", "< 50"),
        ]
    show("Checkpoints, one rank", figures, as_json=given.json)


if __name__ == "__main__":
    main()
