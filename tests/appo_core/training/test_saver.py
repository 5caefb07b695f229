"""Saving beside the training, and going on from what was saved."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from appo_core.demo.model import build_model
from appo_core.environments import ROOT
from appo_core.jobs.contract import JobError
from appo_core.training.best import Best
from appo_core.training.checkpoint import COMPLETE, Marker, TrainState, complete, damage, sizes, step_folder
from appo_core.training.policy import Policy, full_weights, load_policy
from appo_core.training.ranks import Ranks
from appo_core.training.resume import resume
from appo_core.training.saver import Saver
from appo_core.training.update import Updater, build_optimizer
from tests.appo_core.training.made import batch
from tests.appo_core.training.saved import load, save
from tests.appo_core.training.updates import LOSS, OPTIMIZER, advantages
from tests.tiny_model import SETTINGS, TEXTS


def updater_of(folder: Path, ranks: Ranks) -> Updater:
    policy = load_policy(folder, ranks, precision="fp32", gradient_checkpointing=False)
    return Updater(policy, None, build_optimizer(policy, OPTIMIZER), LOSS, OPTIMIZER, 60, ranks)


def weights(policy: Policy) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in full_weights(policy)}


def saver_of(root: Path, ranks: Ranks) -> Saver:
    return Saver(root, ranks, keep=2, identity={"seed": 1})


def go_on(root: Path, updater: Updater, ranks: Ranks, notes: list[str] | None = None) -> TrainState:
    log = (notes if notes is not None else []).append
    return resume(root, updater.policy, updater.optimizer, [], ranks, identity={"seed": 1}, log=log).state


def test_a_resumed_run_is_bit_equal(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    """Save, go on; load into a fresh policy, go on alike: weights and moments agree in every bit."""
    rows = batch(3)
    first, second = updater_of(model_folder, alone), updater_of(model_folder, alone)
    first.update(rows, advantages(rows), 0)
    state = TrainState(4, 9, 123, 0.5)
    save(tmp_path / "step_000004", first.policy, first.optimizer, state, alone, identity={"seed": 1})
    assert go_on(tmp_path, second, alone) == state
    for updater in (first, second):
        updater.update(rows, advantages(rows), 1)
    one, other = weights(first.policy), weights(second.policy)
    assert all(torch.equal(one[name], other[name]) for name in one)
    head = second.policy.model.lm_head.weight
    assert head.data_ptr() == second.policy.model.model.embed_tokens.weight.data_ptr()


def test_updates_made_while_a_save_goes_on_are_not_in_it(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    rows, updater = batch(3), updater_of(model_folder, alone)
    updater.update(rows, advantages(rows), 0)
    before = weights(updater.policy)
    moments = {name: value.clone() for name, value in updater.optimizer.state_dict()["state"][0].items()}
    with saver_of(tmp_path, alone) as saver:
        saver.start(updater.policy, updater.optimizer, TrainState(1))
        with torch.no_grad():
            for parameter in updater.policy.parameters():
                parameter.fill_(7.0)
        for entry in updater.optimizer.state.values():
            for value in entry.values():
                value.fill_(7.0)
    again = updater_of(model_folder, alone)
    load(tmp_path / "step_000001", again.policy, again.optimizer)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(again.policy).items())
    assert all(torch.equal(moments[name], value) for name, value in again.optimizer.state_dict()["state"][0].items())


def test_a_checkpoint_exists_once_it_is_whole(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    updater = updater_of(model_folder, alone)
    torn = step_folder(tmp_path, 1) / "model"
    torn.mkdir(parents=True)
    (torn / "__9_9.distcp").write_text("torn")
    with saver_of(tmp_path, alone) as saver:
        for step in range(1, 5):
            saver.start(updater.policy, updater.optimizer, TrainState(step))
            # The save before this one has ended.
            assert [path.name for path in complete(tmp_path)][-1:] in (
                [f"step_{step - 1:06d}"],
                [f"step_{step:06d}"],
                [],
            )
            assert step == 1 or damage(step_folder(tmp_path, step - 1)) is None
    assert [path.name for path in complete(tmp_path)] == ["step_000003", "step_000004"]
    assert set(Marker.read(step_folder(tmp_path, 4)).files) == sizes(step_folder(tmp_path, 4)).keys() - {COMPLETE}


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.faults
@pytest.mark.parametrize("ending", ["wait", "check", "next", "end"])
def test_a_failed_save_is_raised_and_the_one_before_stays(
    model_folder: Path, alone: Ranks, tmp_path: Path, ending: str
) -> None:
    updater = updater_of(model_folder, alone)
    save(tmp_path / "step_000001", updater.policy, updater.optimizer, TrainState(1), alone, identity={"seed": 1})
    with pytest.raises(JobError, match=r"checkpoint behind step 2 could not be written: File too large") as caught:
        fail(saver_of(tmp_path, alone), updater, ending)
    assert "MiB free at" in caught.value.message
    assert "start the run again" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["step_000001"]
    assert go_on(tmp_path, updater, alone).step == 1


def fail(saver: Saver, updater: Updater, ending: str) -> None:
    """A limit that the weights reach, but neither the moments' first part nor the marker."""
    with file_limit(60_000), saver:
        saver.start(updater.policy, updater.optimizer, TrainState(2))
        if ending == "wait":
            saver.wait()
        while ending == "check":
            saver.check()
        if ending == "next":
            saver.start(updater.policy, updater.optimizer, TrainState(3))


def test_another_fault_lets_the_save_become_whole(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    updater = updater_of(model_folder, alone)

    def run() -> None:
        with saver_of(tmp_path, alone) as saver:
            saver.start(updater.policy, updater.optimizer, TrainState(1))
            raise KeyError("engine")

    with pytest.raises(KeyError, match="engine"):
        run()
    assert go_on(tmp_path, updater, alone).step == 1
    with pytest.raises(KeyError, match="engine"), file_limit(60_000):
        run()
    assert list(tmp_path.iterdir()) == [], "a torn one makes room"


@pytest.fixture
def three(model_folder: Path, alone: Ranks, tmp_path: Path) -> Updater:
    """Checkpoints of steps 1 to 3, the best of which is the second."""
    updater = updater_of(model_folder, alone)
    for step in (1, 2, 3):
        best = Best("validation/score", 2, 0.5) if step > 1 else None
        save(
            step_folder(tmp_path, step), updater.policy, updater.optimizer, TrainState(step, best=best), alone,
            identity={"seed": 1},
        )  # fmt: skip
    return updater


def hurt(root: Path, step: int, name: str = "model/__0_0.distcp") -> None:
    path = step_folder(root, step) / name
    path.write_bytes(path.read_bytes()[:-1])


def test_nothing_saved_is_a_fresh_start(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    notes: list[str] = []
    assert go_on(tmp_path, updater_of(model_folder, alone), alone, notes) == TrainState()
    assert notes == []
    step_folder(tmp_path, 1).mkdir()
    assert go_on(tmp_path, updater_of(model_folder, alone), alone, notes) == TrainState()
    assert notes == ["no checkpoint was finished before: training starts from the first step"]


@pytest.mark.faults
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(three: Updater, alone: Ranks, tmp_path: Path) -> None:
    hurt(tmp_path, 3)
    notes: list[str] = []
    assert go_on(tmp_path, three, alone, notes).step == 2
    assert len(notes) == 1
    assert "step_000003 is damaged (model/__0_0.distcp has" in notes[0]
    assert "set aside as damaged-step_000003" in notes[0]
    assert go_on(tmp_path, three, alone, notes).step == 2, "and stays aside"
    assert len(notes) == 1


@pytest.mark.faults
def test_no_whole_checkpoint_is_refused_again_and_again(three: Updater, alone: Ranks, tmp_path: Path) -> None:
    """Never a silent start from the first step."""
    hurt(tmp_path, 3)
    hurt(tmp_path, 2, "optimizer/.metadata")
    (step_folder(tmp_path, 1) / COMPLETE).write_text("{")
    for _ in range(2):
        with pytest.raises(JobError) as caught:
            go_on(tmp_path, three, alone)
        for part in ("step_000003: model/__0_0", "step_000002: optimizer/.metadata", "step_000001: state.json"):
            assert part in caught.value.message
        assert "put the file back" in caught.value.remedy


@pytest.mark.faults
def test_a_best_that_is_lost_is_forgotten_aloud(three: Updater, alone: Ranks, tmp_path: Path) -> None:
    assert go_on(tmp_path, three, alone).best == Best("validation/score", 2, 0.5)
    hurt(tmp_path, 2)
    notes: list[str] = []
    assert go_on(tmp_path, three, alone, notes) == replace(TrainState(3), best=None)
    assert "best checkpoint so far, step_000002, is damaged" in notes[0]


@pytest.mark.faults
def test_a_shard_of_garbage_is_named(three: Updater, alone: Ranks, tmp_path: Path) -> None:
    """Of the right size, so that only reading shows it."""
    shard = step_folder(tmp_path, 3) / "optimizer" / "__0_0.distcp"
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(JobError, match="step_000003 cannot be read") as caught:
        go_on(tmp_path, three, alone)
    assert COMPLETE in caught.value.remedy


def test_another_model_is_named(three: Updater, alone: Ranks, tmp_path: Path) -> None:
    other = tmp_path / "model"
    build_model(SETTINGS.model_copy(update={"intermediate_size": 48}), TEXTS * 4, other)
    with pytest.raises(JobError, match=r"another model: model.layers.0.mlp.down_proj.weight is \(32, 64\)") as caught:
        go_on(tmp_path, updater_of(other, alone), alone)
    assert "(6 tensors in all)" in caught.value.message


def test_other_settings_are_named(three: Updater, alone: Ranks, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="of another run: seed was 1 and is 2"):
        resume(tmp_path, three.policy, three.optimizer, [], alone, identity={"seed": 2}, log=print)


@pytest.mark.slow
def test_two_ranks_checkpoint_loads_on_one(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*program, "-m", "tests.appo_core.training.updates", str(model_folder), "fp32", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300)
    updater = updater_of(model_folder, alone)
    assert load(tmp_path / "step_000003", updater.policy, updater.optimizer).step == 3
    saved, loaded = torch.load(tmp_path / "weights.pt"), weights(updater.policy)
    assert all(torch.equal(saved[name], loaded[name]) for name in loaded)
    assert all(state["exp_avg_sq"].any() for state in updater.optimizer.state.values())
    assert len(json.loads((tmp_path / "step_000003" / "rng.json").read_text())) == 2
