"""A folder's layout is recognised by its files, here and behind a URL; only what is needed is read."""

from pathlib import Path

import fsspec
import pytest

from appo_core.jobs.contract import JobError
from appo_core.merging.layouts import recognise

STATE = ("optim_world_size_2_rank_0.pt", "extra_state_world_size_2_rank_0.pt")
SHARDS = ("model_world_size_2_rank_0.pt", "model_world_size_2_rank_1.pt")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


@pytest.mark.parametrize("below", ["", "/actor"])
def test_verl(tmp_path: Path, below: str) -> None:
    step = tmp_path / "global_step_30"
    touch(step / "actor", *SHARDS, *STATE, "config.json", "huggingface/tokenizer.json", "huggingface/model.safetensors")
    touch(step, "data.pt")
    found = recognise(f"{step}{below}")
    assert (found.kind, found.folder) == ("verl", str(step / "actor"))
    assert set(found.names) == {*SHARDS, "config.json", "huggingface/tokenizer.json"}


def test_adapters_and_dcp(tmp_path: Path) -> None:
    peft = touch(tmp_path / "a", "adapter_config.json", "adapter_model.safetensors", "optimizer.pt", "tokenizer.json")
    found = recognise(str(peft))
    assert found.kind == "adapter"
    assert set(found.names) == {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    ours = touch(tmp_path / "b", "adapter/adapter_config.json", "hf/config.json", "tensorboard/x")
    assert recognise(str(ours)).names == ("adapter/adapter_config.json", "hf/config.json")
    dcp = touch(tmp_path / "c", "dcp/.metadata", "dcp/__0_0.distcp", "hf/config.json", "metrics.jsonl")
    assert recognise(str(dcp)).names == ("dcp/.metadata", "dcp/__0_0.distcp", "hf/config.json")


def test_a_url(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in (*SHARDS, *STATE, "config.json"):
        memory.pipe_file(f"/run/global_step_5/actor/{name}", b"x")
    try:
        found = recognise("memory://run/global_step_5")
        assert (found.kind, found.names) == ("verl", (*SHARDS, "config.json"))
    finally:
        memory.rm("/run", recursive=True)


def test_what_cannot_be_merged_is_said(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        touch(tmp_path / "save" / f"global_step_{step}" / "actor", *SHARDS)
    with pytest.raises(JobError, match="checkpoints of 3 steps") as caught:
        recognise(str(tmp_path / "save"))
    assert caught.value.remedy == "name one of global_step_9, global_step_10, global_step_100"
    with pytest.raises(JobError, match="whole model: there is nothing to merge"):
        recognise(str(touch(tmp_path / "m", "config.json", "model.safetensors")))
    with pytest.raises(JobError, match=r"neither of: an rl-checkpoint .* verl's shards .* PEFT adapter"):
        recognise(str(touch(tmp_path / "x", "notes.txt")))
    with pytest.raises(JobError, match="is no folder with files"):
        recognise(str(tmp_path / "absent"))
    with pytest.raises(JobError, match="nowhere"):
        recognise("nowhere://x")
