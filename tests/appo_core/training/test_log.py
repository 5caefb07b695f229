"""metrics.jsonl and TensorBoard hold every step once, also after a crash."""

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from appo_core.training.log import MetricsLog


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def written(folder: Path, resumed_at: int, numbers: range, value: float) -> None:
    log = MetricsLog(folder, resumed_at)
    for number in numbers:
        log.write(number, {"train/score": value})
    log.close()


@pytest.mark.parametrize(("resumed_at", "validated"), [(2, True), (2, False), (4, True), (0, True), (0, False)])
def test_resumed_run_has_each_step_once(tmp_path: Path, resumed_at: int, validated: bool) -> None:
    first = 0 if validated else 1
    written(tmp_path, 0, range(first, 5), 0.0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "train/sc')
    written(tmp_path, resumed_at, range(first if resumed_at == 0 else resumed_at + 1, 7), 1.0)
    assert steps(tmp_path) == list(range(first, 7))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    again = {row["step"] for row in rows if row["train/score"] == 1.0}
    assert again == set(range(first if resumed_at == 0 else resumed_at + 1, 7))


def test_tensorboard_shows_the_resumed_values(tmp_path: Path) -> None:
    written(tmp_path, 0, range(1, 5), 0.0)
    written(tmp_path, 2, range(3, 6), 1.0)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    values = {event.step: event.value for event in board.Scalars("train/score")}
    assert values == {1: 0.0, 2: 0.0, 3: 1.0, 4: 1.0, 5: 1.0}
