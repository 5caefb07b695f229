"""Shards written by one and by two ranks become a verified Hugging Face folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from transformers import AutoModelForCausalLM

from appo_core.environments import ROOT
from appo_core.jobs.contract import Event, Job, JobError, Reporter
from appo_core.jobs.merge import work
from tests.tiny_model import SETTINGS, TEXTS

pytestmark = pytest.mark.slow
TWO_RANKS = """
import sys, torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch.distributed.tensor import distribute_tensor, Shard
from torch.distributed.device_mesh import init_device_mesh
from transformers import AutoModelForCausalLM
mesh = init_device_mesh("cpu", (2,))
state = AutoModelForCausalLM.from_pretrained(sys.argv[1]).state_dict()
state.pop("lm_head.weight")
dcp.save({"model": {k: distribute_tensor(v, mesh, [Shard(0)]) for k, v in state.items()}}, checkpoint_id=sys.argv[2])
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny tied model."""
    from appo_core.demo.model import build_model

    folder = tmp_path_factory.mktemp("model")
    build_model(SETTINGS, TEXTS * 4, folder)
    return folder


def checkpoint(folder: Path, source: Path, weights: dict[str, Any] | None = None) -> Path:
    """The rl-checkpoint layout around `weights` (the source's by default), as one rank writes it."""
    if weights is None:
        weights = dict(AutoModelForCausalLM.from_pretrained(source).state_dict())
    optimizer = {"step": torch.ones(1)}
    dcp.save({"model": weights, "optimizer": optimizer}, checkpoint_id=folder / "dcp", no_dist=True)
    shutil.copytree(source, folder / "hf", ignore=shutil.ignore_patterns("*.safetensors"))
    return folder


def merge(folder: Path, given: Path, capsys: pytest.CaptureFixture[str], **settings: Any) -> Event:
    """Run the job; its result event."""
    context = {"name": "model/demo", "base": "model/base@1", "data": ["dataset/demo-rl@1"], "metrics": {"reward": 0.5}}
    output, scratch = folder / "out", folder / "work"
    output.mkdir()
    job = Job(settings=settings, inputs={"checkpoint": given}, output=output, work=scratch, context=context)
    work(job, Reporter())
    events = [Event.parse(line) for line in capsys.readouterr().out.splitlines()]
    (result,) = [event for event in events if event is not None and event.event == "result"]
    return result


def test_float32_is_exact_and_complete(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = merge(tmp_path, checkpoint(tmp_path / "c", source), capsys, dtype="fp32")
    assert result.metrics["max_logprob_difference"] == 0
    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (source, tmp_path / "out"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# model/demo" in card
    assert "| data | dataset/demo-rl@1 |" in card
    assert "| reward | 0.5 |" in card
    assert result.metrics["bytes"] == (tmp_path / "out" / "model.safetensors").stat().st_size


def test_two_ranks_and_bfloat16(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "c"
    shutil.copytree(source, given / "hf", ignore=shutil.ignore_patterns("*.safetensors"))
    script = tmp_path / "save.py"
    script.write_text(TWO_RANKS)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(script), str(source), str(given / "dcp")], check=True, cwd=ROOT)
    result = merge(tmp_path, given, capsys, dtype="bf16")
    assert 0 < result.metrics["max_logprob_difference"] < 0.05
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert merged.dtype == torch.bfloat16
    assert merged.lm_head.weight.data_ptr() == merged.model.embed_tokens.weight.data_ptr()


def test_faults_are_named(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = dict(AutoModelForCausalLM.from_pretrained(source).state_dict())
    norm, head = "model.norm.weight", "lm_head.weight"
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "missing": ({k: v for k, v in weights.items() if k not in (norm, head)}, f"lacks {norm}"),
        "surplus": (weights | {"model.extra": weights[norm]}, "unknown model.extra"),
        "shape": (weights | {norm: torch.ones(3)}, f"{norm} has shape"),
        "nan": (weights | {norm: weights[norm] * float("nan")}, f"{norm} holds values that are not finite"),
    }
    for name, (broken, message) in cases.items():
        folder = tmp_path / name
        with pytest.raises(JobError, match=message):
            merge(folder_with(folder), checkpoint(folder / "c", source, broken), capsys)
    folder = folder_with(tmp_path / "strict")
    with pytest.raises(JobError, match="above 1e-09"):
        merge(folder, checkpoint(folder / "c", source), capsys, dtype="bf16", max_logprob_difference=1e-9)
    with pytest.raises(JobError, match="whole model: there is nothing to merge"):
        merge(folder_with(tmp_path / "none"), source, capsys)


def test_damaged_shard_is_named(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = checkpoint(tmp_path / "c", source)
    for shard in (given / "dcp").glob("*.distcp"):
        shard.unlink()
    with pytest.raises(JobError, match="cannot be read"):
        merge(tmp_path, given, capsys)


def folder_with(path: Path) -> Path:
    """The folder, made."""
    path.mkdir(parents=True)
    return path
