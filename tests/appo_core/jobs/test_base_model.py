"""A model folder as the base model."""

from pathlib import Path

import pytest

from appo_core.config import LocalModel
from appo_core.jobs.base_model import work
from appo_core.jobs.contract import Job, JobError, Reporter


def job(model: Path, root: Path) -> Job:
    (root / "output").mkdir()
    settings = LocalModel(path=str(model)).model_dump(mode="json")
    return Job(settings=settings, output=root / "output", work=root / "work")


def folder(root: Path, *names: str) -> Path:
    (root / "model").mkdir()
    for name in names:
        (root / "model" / name).write_text(name)
    return root / "model"


def test_a_model_folder_is_taken_without_its_python_code(tmp_path: Path) -> None:
    model = folder(tmp_path, "config.json", "tokenizer.json", "model.safetensors", "modeling_own.py", ".hidden")
    work(job(model, tmp_path), Reporter())
    taken = {path.name: path.read_text() for path in (tmp_path / "output").iterdir()}
    assert taken == {name: name for name in ("config.json", "tokenizer.json", "model.safetensors")}


def test_weights_in_another_format_are_refused_with_a_remedy(tmp_path: Path) -> None:
    model = folder(tmp_path, "config.json", "pytorch_model.bin")
    with pytest.raises(JobError, match=r"holds no \*\.safetensors") as error:
        work(job(model, tmp_path), Reporter())
    assert "safetensors" in error.value.remedy
    assert not any((tmp_path / "output").iterdir())
