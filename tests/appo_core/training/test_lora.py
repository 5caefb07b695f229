"""LoRA: only the adapter is trained and saved; engines get the merged weights; the reference is the model below it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoModelForCausalLM

from appo_core.config.lora import LoraSettings
from appo_core.environments import ROOT
from appo_core.jobs.contract import JobError
from appo_core.merging.shards import read_shards
from appo_core.rollout.engines.base import SamplingParams
from appo_core.rollout.engines.transformers_engine import TransformersEngine
from appo_core.rollout.types import Finish, Trajectory
from appo_core.training.checkpoint import TrainState
from appo_core.training.lora import is_adapter, write_adapter
from appo_core.training.policy import Policy, full_weights, load_policy, score
from appo_core.training.ranks import Ranks
from tests.appo_core.training import saved as checkpoint
from tests.appo_core.training.lora_updates import LORA, UPDATES, update, updater_of
from tests.appo_core.training.made import batch


def parameters(policy: Policy) -> dict[str, Tensor]:
    """Copies, whole, by the names in the policy."""
    state: dict[str, Any] = policy.state_dict()
    return {
        name: (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).clone()
        for name, tensor in state.items()
    }


def merged(policy: Policy) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in full_weights(policy)}


def by_peft(model: Path, adapter: Path) -> dict[str, Tensor]:
    """Weights that PEFT itself gives for an adapter's folder."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    state: dict[str, Tensor] = PeftModel.from_pretrained(base, adapter).merge_and_unload().state_dict()
    return state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_updates_change_the_adapter_alone(model_folder: Path, alone: Ranks, precision: str) -> None:
    """bf16 is sharded, on one rank."""
    updater = updater_of(model_folder, alone, precision=precision)
    before = parameters(updater.policy)
    metrics = update(updater, alone)
    after = parameters(updater.policy)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if is_adapter(name)}
    assert len(moved) == 2 * 7 * 2, "A and B of the seven linear layers of two blocks"
    assert all(after[name].dtype == torch.float32 for name in moved)
    assert metrics[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert metrics[-1]["kl"] > 1e-5


def test_the_reference_is_the_base_model(model_folder: Path, alone: Ranks) -> None:
    updater = updater_of(model_folder, alone)
    update(updater, alone)
    base = load_policy(model_folder, alone, precision="fp32", gradient_checkpointing=False, trainable=False)
    rows = batch(5)
    assert updater.reference is not None
    (off, _), (plain, _), (on, _) = (score(one, rows, 60, alone) for one in (updater.reference, base, updater.policy))
    assert torch.equal(off, plain)
    assert (on - plain).abs().max() > 1e-3
    assert updater.policy.training


def test_the_published_adapter_is_pefts_own_and_merges_to_the_engines_weights(
    model_folder: Path, alone: Ranks, tmp_path: Path
) -> None:
    updater = updater_of(model_folder, alone)
    update(updater, alone)
    policy = updater.policy
    checkpoint.save(tmp_path / "step_000003", policy, updater.optimizer, TrainState(step=UPDATES), alone)
    saved = read_shards(tmp_path / "step_000003" / "model")
    assert all(name.startswith("base_model.model.") for name in saved)
    assert len(saved) == 28
    write_adapter(tmp_path / "adapter", LORA, saved, "sft-model/demo@v1")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "sft-model/demo@v1"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert len(config["target_modules"]) == 7
    own, wanted = merged(policy), by_peft(model_folder, tmp_path / "adapter")
    assert "lm_head.weight" not in own
    assert own.keys() | {"lm_head.weight"} == wanted.keys()
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=0, atol=1e-6)


def test_a_resumed_run_is_bit_equal(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    first, second = updater_of(model_folder, alone), updater_of(model_folder, alone)
    update(first, alone)
    checkpoint.save(tmp_path / "step_000003", first.policy, first.optimizer, TrainState(step=UPDATES), alone)
    checkpoint.load(tmp_path / "step_000003", second.policy, second.optimizer)
    for updater in (first, second):
        update(updater, alone, range(UPDATES, UPDATES + 1))
    one, other = parameters(first.policy), parameters(second.policy)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_ranks_train_what_one_does(model_folder: Path, alone: Ranks, tmp_path: Path, precision: str) -> None:
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*program, "-m", "tests.appo_core.training.lora_updates", str(model_folder), precision, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300)
    two, tolerance = torch.load(tmp_path / "weights.pt"), 2e-4 if precision == "fp32" else 2e-2
    alike = [json.loads((tmp_path / f"metrics-{rank}.json").read_text()) for rank in (0, 1)]
    assert alike[0] == alike[1]
    updater = updater_of(model_folder, alone, precision=precision)
    metrics = update(updater, alone)
    assert alike[0][-1]["kl"] == pytest.approx(metrics[-1]["kl"], rel=0.05)
    one = merged(updater.policy)
    assert one.keys() == two.keys()
    assert max(float((one[name].float() - two[name].float()).abs().max()) for name in one) < tolerance
    checkpoint.load(tmp_path / "step_000003", updater.policy, updater.optimizer)
    again = merged(updater.policy)
    assert all(torch.equal(again[name], two[name]) for name in two)


async def test_an_engine_with_the_merged_weights_agrees_with_the_policy(model_folder: Path, alone: Ranks) -> None:
    updater = updater_of(model_folder, alone)
    engine = TransformersEngine(model_folder, max_model_len=64, dtype="fp32", seed=1)
    try:
        prompt = [5, 6, 7, 8]
        before = await engine.generate(prompt, SamplingParams(max_tokens=16, seed=4))
        update(updater, alone)
        await engine.update_weights(full_weights(updater.policy), 1)
        done = await engine.generate(prompt, SamplingParams(max_tokens=16, seed=4))
    finally:
        await engine.close()
    row = Trajectory(
        uid="a",
        group="g",
        prompt_ids=prompt,
        response_ids=done.token_ids,
        mask=[1] * len(done.token_ids),
        behaviour_logprobs=done.logprobs,
        finish=Finish.LENGTH,
    )
    logp_BL, _ = score(updater.policy, [row], 60, alone)
    torch.testing.assert_close(logp_BL[0], torch.tensor(done.logprobs), rtol=0, atol=1e-5)
    assert before.logprobs[0] != pytest.approx(done.logprobs[0], abs=1e-4)


def test_dropout_is_of_updates_only(model_folder: Path, alone: Ranks) -> None:
    updater = updater_of(model_folder, alone, lora=LORA.model_copy(update={"dropout": 0.5}))
    update(updater, alone)
    one, other = (score(updater.policy, batch(3), 60, alone)[0] for _ in range(2))
    assert torch.equal(one, other)


def test_a_frozen_base_keeps_its_files_data_type(model_folder: Path, alone: Ranks, tmp_path: Path) -> None:
    """Half the memory where a base comes in bfloat16; what the engine gets is rounded once, behind the sum."""
    base = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16)
    base.save_pretrained(tmp_path)
    updater = updater_of(tmp_path, alone, precision="bf16")
    update(updater, alone)
    for name, tensor in parameters(updater.policy).items():
        assert tensor.dtype == (torch.float32 if is_adapter(name) else torch.bfloat16), name
    assert {tensor.dtype for tensor in merged(updater.policy).values()} == {torch.bfloat16}


def test_unreachable_and_unknown_modules_are_refused(model_folder: Path, alone: Ranks) -> None:
    with pytest.raises(ValidationError, match="lm_head cannot carry an adapter"):
        LoraSettings(target_modules=("q_proj", "lm_head"))
    with pytest.raises(JobError, match="no linear layer 'q_prj'") as caught:
        updater_of(model_folder, alone, lora=LoraSettings(target_modules=("q_prj",)))
    assert "down_proj, gate_proj, k_proj" in caught.value.remedy


def test_named_modules_alone_get_an_adapter(model_folder: Path, alone: Ranks) -> None:
    updater = updater_of(model_folder, alone, lora=LoraSettings(rank=2, target_modules=("q_proj", "v_proj")))
    assert {name.rpartition(".")[2] for name in updater.policy.factors} == {"q_proj", "v_proj"}
    assert sum(map(is_adapter, parameters(updater.policy))) == 2 * 2 * 2
