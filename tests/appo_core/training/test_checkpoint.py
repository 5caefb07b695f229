"""Checkpoints: bit-equal after loading, whole or absent, pruned."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from appo_core.environments import ROOT
from appo_core.training import checkpoint
from appo_core.training.checkpoint import TrainState
from appo_core.training.policy import Policy, full_weights, load_policy
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer
from tests.appo_core.training.made import batch
from tests.appo_core.training.updates import LOSS, OPTIMIZER, advantages


def updater_of(folder: Path, ranks: Ranks) -> Updater:
    policy = load_policy(folder, ranks, precision="fp32", gradient_checkpointing=False)
    return Updater(policy, None, build_optimizer(policy, OPTIMIZER), LOSS, OPTIMIZER, 60, ranks)


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in full_weights(policy)}


def test_a_resumed_run_is_bit_equal(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    """Save, go on; load into a fresh policy, go on alike: weights and moments agree in every bit."""
    rows = batch(3)
    first, second = updater_of(model_folder, alone), updater_of(model_folder, alone)
    first.update(rows, advantages(rows), 0)
    state = TrainState(step=4, weights_version=9, tokens=123)
    checkpoint.save(tmp_path / "step_000004", first.policy, first.optimizer, state, alone)
    assert checkpoint.load(tmp_path / "step_000004", second.policy, second.optimizer) == state
    for updater in (first, second):
        updater.update(rows, advantages(rows), 1)
    one, other = weights(first.policy), weights(second.policy)
    assert all(torch.equal(one[name], other[name]) for name in one)
    head = second.policy.model.lm_head.weight
    assert head.data_ptr() == second.policy.model.model.embed_tokens.weight.data_ptr()


@pytest.mark.slow
def test_two_ranks_checkpoint_loads_on_one(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*program, "-m", "tests.appo_core.training.updates", str(model_folder), "fp32", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300)
    updater = updater_of(model_folder, alone)
    assert checkpoint.load(tmp_path / "step_000003", updater.policy, updater.optimizer).step == 3
    saved, loaded = torch.load(tmp_path / "weights.pt"), weights(updater.policy)
    assert all(torch.equal(saved[name], loaded[name]) for name in loaded)
    assert all(state["exp_avg_sq"].any() for state in updater.optimizer.state.values())


def make(root: Path, step: int, *, complete: bool = True) -> Path:
    folder = root / f"step_{step:06d}"
    (folder / "model").mkdir(parents=True)
    if complete:
        (folder / checkpoint.COMPLETE).write_text(json.dumps({"step": step}))
    return folder


def test_incomplete_checkpoints_do_not_exist(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    make(tmp_path, 1, complete=False)
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "nowhere") is None
    good = make(tmp_path, 2)
    make(tmp_path, 10, complete=False)
    assert checkpoint.newest(tmp_path) == good


@pytest.mark.parametrize(("keep", "left"), [(1, [8, 9]), (2, [6, 8, 9]), (9, [2, 4, 6, 8, 9])])
def test_prune_keeps_the_newest_complete_ones(tmp_path: Path, keep: int, left: list[int]) -> None:
    """Incomplete ones older than the newest go; a newer one may be in the making and stays."""
    for step in (2, 4, 6, 8):
        make(tmp_path, step)
    for step in (3, 7, 9):
        make(tmp_path, step, complete=False)
    checkpoint.prune(tmp_path, keep)
    assert sorted(int(path.name[5:]) for path in tmp_path.iterdir()) == left


def test_prune_of_nothing_complete_leaves_everything(tmp_path: Path) -> None:
    make(tmp_path, 1, complete=False)
    checkpoint.prune(tmp_path, 2)
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_over_a_torn_checkpoint_replaces_it(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    updater = updater_of(model_folder, alone)
    folder = make(tmp_path, 1, complete=False)
    (folder / "model" / "__9_9.distcp").write_text("torn")
    checkpoint.save(folder, updater.policy, updater.optimizer, TrainState(step=1), alone)
    assert checkpoint.newest(tmp_path) == folder
    assert not (folder / "model" / "__9_9.distcp").exists()
