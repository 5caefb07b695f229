"""Updates of a LoRA policy on made-up rows. As a torchrun program, ``lora_updates MODEL PRECISION FOLDER``."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from appo_core.config.lora import LoraSettings
from appo_core.training.checkpoint import TrainState
from appo_core.training.policy import full_weights, load_policy, load_reference
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer
from tests.appo_core.training import saved as checkpoint
from tests.appo_core.training.made import batch
from tests.appo_core.training.updates import LOSS, OPTIMIZER, advantages

LORA = LoraSettings(rank=4, alpha=8)
OPTIMIZATION = OPTIMIZER.model_copy(update={"learning_rate": 1e-2})
UPDATES = 3


def updater_of(model: Path, ranks: Ranks, *, precision: Any = "fp32", lora: LoraSettings | None = LORA) -> Updater:
    """A policy with an adapter and a KL term against the model below it."""
    policy = load_policy(model, ranks, precision=precision, gradient_checkpointing=True, adapter=lora, seed=3)
    reference = load_reference(policy, model, ranks, precision=precision)
    return Updater(policy, reference, build_optimizer(policy, OPTIMIZATION), LOSS, OPTIMIZATION, 60, ranks)


def update(updater: Updater, ranks: Ranks, numbers: range = range(UPDATES)) -> list[dict[str, float]]:
    """Updates on rows that are dealt to the ranks unevenly; their metrics."""
    rows = batch(7)
    mine = rows if ranks.world == 1 else [rows[:2], rows[2:]][ranks.rank]
    return [updater.update(mine, advantages(mine), number) for number in numbers]


def main() -> None:
    """One rank of a torchrun program."""
    model, precision, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    ranks = Ranks.start()
    updater = updater_of(model, ranks, precision=precision)
    metrics = update(updater, ranks)
    checkpoint.save(folder / "step_000003", updater.policy, updater.optimizer, TrainState(step=UPDATES), ranks)
    weights = {name: tensor.detach().clone() for name, tensor in full_weights(updater.policy)}
    (folder / f"metrics-{ranks.rank}.json").write_text(json.dumps(metrics))
    if ranks.first:
        torch.save(weights, folder / "weights.pt")
    ranks.barrier()
    ranks.stop()
    os._exit(0)  # as the training program ends: gloo's threads may abort an ordinary shutdown


if __name__ == "__main__":
    main()
