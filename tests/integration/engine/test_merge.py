"""Shards of one and of two ranks, verl's shards and adapters become a verified Hugging Face folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
import torch.distributed.checkpoint as dcp
from transformers import AutoModelForCausalLM

from appo_core.config.lora import LoraSettings
from appo_core.environments import ROOT
from appo_core.jobs.contract import Event, Job, JobError, Reporter
from appo_core.jobs.merge import work
from appo_core.training.lora import write_adapter
from appo_core.training.policy import full_weights, load_policy, model_state
from appo_core.training.ranks import Ranks
from tests.tiny_model import SETTINGS, TEXTS

pytestmark = pytest.mark.slow
TWO_RANKS = """
import os, sys, torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch.distributed.tensor import distribute_tensor, Shard
from torch.distributed.device_mesh import init_device_mesh
from transformers import AutoModelForCausalLM
mesh = init_device_mesh("cpu", (2,))
state = AutoModelForCausalLM.from_pretrained(sys.argv[1]).state_dict()
state.pop("lm_head.weight")
dcp.save({"model": {k: distribute_tensor(v, mesh, [Shard(0)]) for k, v in state.items()}}, checkpoint_id=sys.argv[2])
dist.barrier()
os._exit(0)  # gloo's threads may abort an ordinary shutdown
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


def merge(
    folder: Path, given: Path | None, capsys: pytest.CaptureFixture[str], base: Path | None = None, **settings: Any
) -> Event:
    """Run the job; its result event."""
    context = {"name": "model/demo", "base": "model/base@1", "data": ["dataset/demo-rl@1"], "metrics": {"reward": 0.5}}
    output, scratch = folder / "out", folder / "work"
    output.mkdir()
    inputs = {role: path for role, path in {"checkpoint": given, "base": base}.items() if path}
    job = Job(settings=settings, inputs=inputs, output=output, work=scratch, context=context)
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


def verl_folder(step: Path, source: Path, *, nested: bool) -> Path:
    """`actor/` of one rank, as verl lays it out: configuration and tokenizer beside the shards, or below them."""
    actor = step / "actor"
    beside = actor / "huggingface" if nested else actor
    shutil.copytree(source, beside, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = AutoModelForCausalLM.from_pretrained(source).state_dict()
    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, actor / "model_world_size_1_rank_0.pt")
    (actor / "optim_world_size_1_rank_0.pt").write_bytes(b"never read")
    return step


@pytest.mark.parametrize("nested", [False, True])
def test_verl_shards_from_a_folder(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str], nested: bool
) -> None:
    step = verl_folder(tmp_path / "global_step_30", source, nested=nested)
    given = {"path": str(step), "licence": "MIT"}
    result = merge(tmp_path, None, capsys, dtype="fp32", source=given)
    assert result.metrics["layout"] == "verl"
    assert result.metrics["max_logprob_difference"] == 0
    assert same_weights(tmp_path / "out", AutoModelForCausalLM.from_pretrained(source).state_dict())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in source.iterdir()} | {"README.md"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| source | {step} |" in card
    assert "trained elsewhere" in card


def test_verl_shards_behind_a_url(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what is read is fetched."""
    step, memory = verl_folder(tmp_path / "global_step_30", source, nested=True), fsspec.filesystem("memory")
    memory.put(str(step), "/bucket/global_step_30", recursive=True)
    try:
        merge(tmp_path, None, capsys, dtype="fp32", source={"path": "memory://bucket/global_step_30"})
    finally:
        memory.rm("/bucket", recursive=True)
    assert same_weights(tmp_path / "out", AutoModelForCausalLM.from_pretrained(source).state_dict())
    fetched = {path.name for path in (tmp_path / "work" / "source").iterdir()}
    assert fetched == {"huggingface", "model_world_size_1_rank_0.pt"}


def test_a_tied_head_that_was_trained_apart_is_refused(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = verl_folder(tmp_path / "global_step_30", source, nested=False)
    path = step / "actor" / "model_world_size_1_rank_0.pt"
    weights = torch.load(path)
    torch.save(weights | {"module.lm_head.weight": weights["module.lm_head.weight"] + 1}, path)
    with pytest.raises(JobError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight"):
        merge(tmp_path, None, capsys, source={"path": str(step)})


def same_weights(folder: Path, wanted: dict[str, Any], tolerance: float = 0.0) -> bool:
    found = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    return found.keys() == wanted.keys() and all(
        float((found[name] - wanted[name]).abs().max()) <= tolerance for name in wanted
    )


def trained_elsewhere(source: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """An adapter of PEFT's own with weights that matter; the merged weights, by hand."""
    from peft import LoraConfig, get_peft_model

    base = AutoModelForCausalLM.from_pretrained(source)
    chosen = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False} | changes
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(**chosen))
    model.save_pretrained(folder)
    state = model.state_dict()
    prefix, merged = "base_model.model.", {}
    for name, tensor in state.items():
        layer = name.partition(".base_layer.")[0]
        if ".lora_" not in name:
            low_A, low_B = (state.get(f"{layer}.lora_{part}.default.weight") for part in "AB")
            delta = 2.0 * low_B @ low_A if low_A is not None and low_B is not None else 0.0
            merged[name.removeprefix(prefix).replace(".base_layer.", ".")] = tensor + delta
    return merged


def test_an_adapter_onto_its_base(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The base is the one the adapter names, the one in the settings, or an input."""
    wanted = trained_elsewhere(source, tmp_path / "adapter")
    result = merge(tmp_path, None, capsys, dtype="fp32", source={"path": str(tmp_path / "adapter")})
    assert result.metrics["layout"] == "adapter"
    assert result.metrics["max_logprob_difference"] < 1e-4
    assert same_weights(tmp_path / "out", wanted, 1e-6)
    assert not same_weights(tmp_path / "out", AutoModelForCausalLM.from_pretrained(source).state_dict(), 1e-3)
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "somebody/model"}))
    with pytest.raises(JobError, match="needs its base model, somebody/model"):
        merge(folder_with(tmp_path / "1"), None, capsys, source={"path": str(tmp_path / "adapter")})
    given = {"path": str(tmp_path / "adapter"), "base": str(source)}
    merge(folder_with(tmp_path / "2"), None, capsys, dtype="fp32", source=given)
    merge(
        folder_with(tmp_path / "3"), None, capsys, base=source, dtype="fp32", source={"path": str(tmp_path / "adapter")}
    )
    for number in "23":
        assert same_weights(tmp_path / number / "out", wanted, 1e-6)


def test_an_adapter_that_does_not_fit_is_refused(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    def attempt(name: str, message: str) -> None:
        with pytest.raises(JobError, match=message):
            merge(folder_with(tmp_path / f"{name}-run"), None, capsys, source={"path": str(tmp_path / name)})

    trained_elsewhere(source, tmp_path / "lacking")
    weights = load_file(tmp_path / "lacking" / "adapter_model.safetensors")
    first = min(weights)
    save_file({k: v for k, v in weights.items() if k != first}, tmp_path / "lacking" / "adapter_model.safetensors")
    attempt("lacking", f"lacks {first}")
    shutil.copytree(tmp_path / "lacking", tmp_path / "surplus")
    extra = {"base_model.model.extra": weights[first].clone()}
    save_file(weights | extra, tmp_path / "surplus" / "adapter_model.safetensors")
    attempt("surplus", r"has unknown base_model\.model\.extra")
    shutil.copytree(tmp_path / "lacking", tmp_path / "shape")
    save_file(weights | {first: torch.ones(4, 5)}, tmp_path / "shape" / "adapter_model.safetensors")
    attempt("shape", "does not fit .* size mismatch")
    shutil.copytree(tmp_path / "lacking", tmp_path / "pickled")
    (tmp_path / "pickled" / "adapter_model.safetensors").unlink()
    attempt("pickled", r"has no adapter_model\.safetensors")
    trained_elsewhere(source, tmp_path / "tied", target_modules=["lm_head"])
    attempt("tied", "the base model ties head and embedding")


def test_a_published_lora_checkpoint(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What RL publishes of a LoRA run becomes the model that its engines had."""
    ranks, lora = Ranks(0, 1, torch.device("cpu")), LoraSettings(rank=2)
    policy = load_policy(source, ranks, precision="fp32", gradient_checkpointing=False, adapter=lora)
    for parameter in policy.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    given = tmp_path / "c"
    write_adapter(given / "adapter", lora, model_state(policy), "sft-model/demo@v1")
    shutil.copytree(source, given / "hf", ignore=shutil.ignore_patterns("*.safetensors"))
    merge(tmp_path, given, capsys, base=source, dtype="fp32")
    wanted = dict(full_weights(policy))
    assert same_weights(tmp_path / "out", wanted | {"lm_head.weight": wanted["model.embed_tokens.weight"]}, 1e-6)
