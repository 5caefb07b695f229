from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.checks.safetensors import read_folder, read_header
from appo_core.jobs.contract import JobError
from tests.appo_core.checks.tiny_model import bf16, write_safetensors

FLOATS = st.lists(st.floats(width=16), max_size=20)


@given(values=FLOATS, dtype=st.sampled_from(["F32", "F16"]))
def test_nonfinite_values_are_counted(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], dtype: str
) -> None:
    file = tmp_path_factory.mktemp("st") / "model.safetensors"
    array = np.asarray(values, np.float32)
    write_safetensors(file, {"w": (dtype, array), "b": ("BF16", bf16(array)), "n": ("I64", np.arange(3))})
    wrong = int((~np.isfinite(array)).sum())
    counts = {info.name: info.nonfinite() for info in read_header(file)}
    assert counts == {"w": wrong, "b": wrong, "n": 0}


def test_shapes_and_metadata(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"x": ("F32", np.zeros((2, 3)))})
    info = read_folder(tmp_path)["x"]
    assert (info.shape, info.dtype, info.size) == ((2, 3), "F32", 24)


@pytest.mark.parametrize("cut", [4, 20, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "model.safetensors"
    write_safetensors(file, {"x": ("F32", np.zeros(4))})
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(JobError, match="damaged safetensors file"):
        read_folder(tmp_path)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no \*.safetensors file"):
        read_folder(tmp_path)
