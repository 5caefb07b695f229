"""Some updates on made-up rows. As a torchrun program, ``updates MODEL PRECISION FOLDER`` saves what they gave."""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from appo_core.config.algorithm import LossSettings
from appo_core.config.rl import OptimizerSettings
from appo_core.rollout.types import Trajectory
from appo_core.training.checkpoint import TrainState
from appo_core.training.experience import mask_tensor
from appo_core.training.policy import full_weights, load_policy
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer
from tests.appo_core.training import saved as checkpoint
from tests.appo_core.training.made import batch

LOSS = LossSettings(kl_coefficient=0.1, future_kl_decay=4.0)
OPTIMIZER = OptimizerSettings(learning_rate=1e-3, weight_decay=0.01)
UPDATES = 3


def advantages(rows: list[Trajectory]) -> Tensor:
    """(B, L) token advantages that depend on the row alone."""
    value_B1 = torch.tensor([[random.Random(row.uid).uniform(-1.5, 1.5)] for row in rows])
    return value_B1 * mask_tensor(rows)


def run(
    model: Path,
    ranks: Ranks,
    *,
    budget: int,
    precision: Any = "fp32",
    loss: LossSettings = LOSS,
    advantage: float = 1.0,
    save: Path | None = None,
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Metrics of every update and the weights behind the last; rows are dealt to the ranks unevenly."""
    policy = load_policy(model, ranks, precision=precision, gradient_checkpointing=True)
    reference = load_policy(model, ranks, precision=precision, gradient_checkpointing=False, trainable=False)
    updater = Updater(policy, reference, build_optimizer(policy, OPTIMIZER), loss, OPTIMIZER, budget, ranks)
    rows = batch(7)
    mine = rows if ranks.world == 1 else [rows[:2], rows[2:]][ranks.rank]
    metrics = [updater.update(mine, advantage * advantages(mine), number) for number in range(UPDATES)]
    if save is not None:
        checkpoint.save(save, policy, updater.optimizer, TrainState(step=UPDATES), ranks)
    return metrics, {name: tensor.detach().clone() for name, tensor in full_weights(policy)}


def main() -> None:
    """One rank of a torchrun program."""
    model, precision, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    ranks = Ranks.start()
    metrics, weights = run(model, ranks, budget=60, precision=precision, save=folder / "step_000003")
    (folder / f"metrics-{ranks.rank}.json").write_text(json.dumps(metrics))
    if ranks.first:
        torch.save(weights, folder / "weights.pt")
    ranks.barrier()
    ranks.stop()
    os._exit(0)  # as the training program ends: gloo's threads may abort an ordinary shutdown


if __name__ == "__main__":
    main()
