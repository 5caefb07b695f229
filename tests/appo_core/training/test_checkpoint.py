"""Checkpoints on disk: whole or absent, damaged ones named, pruned."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from appo_core.training import checkpoint
from appo_core.training.best import Best
from appo_core.training.checkpoint import Marker, TrainState, complete, damage, prune, sizes

STATE = TrainState(4, 9, 123, 0.25, Best("validation/score", 2, 0.5))


def make(root: Path, step: int, *, finished: bool = True, best: int | None = None) -> Path:
    folder = checkpoint.step_folder(root, step)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "__0_0.distcp").write_bytes(b"tensors")
    if finished:
        state = TrainState(step, best=Best("validation/score", best, 1.0) if best else None)
        Marker(state, {}, sizes(folder)).write(folder)
    return folder


def test_a_marker_is_read_as_it_was_written(tmp_path: Path) -> None:
    marker = Marker(STATE, {"seed": 1}, {"model/x": 3})
    marker.write(tmp_path)
    assert Marker.read(tmp_path) == marker
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.COMPLETE]


def test_unfinished_checkpoints_do_not_exist(tmp_path: Path) -> None:
    assert complete(tmp_path / "nowhere") == []
    make(tmp_path, 1, finished=False)
    assert complete(tmp_path) == []
    good = make(tmp_path, 2)
    make(tmp_path, 10, finished=False)
    assert complete(tmp_path) == [good]
    assert damage(good) is None


def test_damage_names_the_file(tmp_path: Path) -> None:
    folder = make(tmp_path, 1)
    shard = folder / "model" / "__0_0.distcp"
    shard.write_bytes(b"tens")
    assert damage(folder) == "model/__0_0.distcp has 4 bytes instead of 7"
    shard.unlink()
    assert damage(folder) == "model/__0_0.distcp is missing"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 3}', json.dumps(asdict(STATE) | {"best": {"x": 1}})])
def test_a_marker_that_is_none_is_damage(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path, 1)
    (folder / checkpoint.COMPLETE).write_text(text)
    found = damage(folder)
    assert found is not None
    assert found.startswith("state.json cannot be read: ")


@pytest.mark.parametrize(("keep", "left"), [(1, [8, 9]), (2, [6, 8, 9]), (9, [2, 4, 6, 8, 9])])
def test_prune_keeps_the_newest_finished_ones(tmp_path: Path, keep: int, left: list[int]) -> None:
    """Unfinished ones older than the newest go; a newer one may be in the making and stays."""
    for step in (2, 4, 6, 8):
        make(tmp_path, step)
    for step in (3, 7, 9):
        make(tmp_path, step, finished=False)
    prune(tmp_path, keep)
    assert steps(tmp_path) == left


def test_prune_keeps_the_best_of_every_kept_one(tmp_path: Path) -> None:
    """Should the newest be lost, the one before must still find its own best."""
    for step, best in ((1, 1), (2, 1), (3, 1), (4, 1), (5, 5)):
        make(tmp_path, step, best=best)
    prune(tmp_path, 2)
    assert steps(tmp_path) == [1, 4, 5]
    make(tmp_path, 6, best=5)
    prune(tmp_path, 1)
    assert steps(tmp_path) == [5, 6]


def test_prune_of_nothing_finished_leaves_everything(tmp_path: Path) -> None:
    make(tmp_path, 1, finished=False)
    prune(tmp_path, 2)
    assert steps(tmp_path) == [1]


def steps(root: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in root.iterdir())
