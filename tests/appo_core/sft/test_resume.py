"""A run goes on from complete checkpoints of the same configuration only."""

import json
from pathlib import Path

from appo_core.sft.resume import fingerprint, prepare_run


def checkpoint(run: Path, step: int, *, complete: bool = True) -> Path:
    """A checkpoint folder as the trainer leaves it."""
    folder = run / "train" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    if complete:
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return folder


def test_resumes_from_the_last_complete_checkpoint(tmp_path: Path) -> None:
    assert prepare_run(tmp_path, "a") == 0
    checkpoint(tmp_path, 8)
    checkpoint(tmp_path, 10)
    torn = checkpoint(tmp_path, 12, complete=False)
    (tmp_path / "train" / "model.safetensors").write_text("half")
    assert prepare_run(tmp_path, "a") == 10
    assert not torn.exists()
    assert not (tmp_path / "train" / "model.safetensors").exists()


def test_another_configuration_starts_afresh(tmp_path: Path) -> None:
    prepare_run(tmp_path, "a")
    checkpoint(tmp_path, 8)
    assert prepare_run(tmp_path, "b") == 0


def test_fingerprint_sees_arguments_and_content(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("1")
    first = fingerprint({"seed": 1}, [file])
    assert first == fingerprint({"seed": 1}, [file])
    assert first != fingerprint({"seed": 2}, [file])
    file.write_text("2")
    assert first != fingerprint({"seed": 1}, [file])
