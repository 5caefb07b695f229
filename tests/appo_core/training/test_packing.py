"""Packing loses no token and mixes no rows; packed log-probs are those of a plain forward pass."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

from appo_core.algorithm import token_entropy
from appo_core.rollout.types import Trajectory
from appo_core.training.packing import pack
from appo_core.training.policy import full_weights, load_policy, score
from appo_core.training.ranks import Ranks
from tests.appo_core.training.made import batch, trajectory

MASKS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9).filter(any), min_size=1, max_size=8)


@settings(max_examples=40)
@given(masks=MASKS, budget=st.integers(1, 40))
def test_every_generated_token_appears_once_behind_its_predecessor(masks: list[list[int]], budget: int) -> None:
    rows = [trajectory(mask, number, prompt=1 + number % 4) for number, mask in enumerate(masks)]
    seen = []
    for micro in pack(rows, budget):
        assert len(micro.ids_T) == len(micro.position_T)
        starts = torch.nonzero(micro.position_T == 0).squeeze(1).tolist()
        assert len(micro.ids_T) <= budget or len(starts) == 1
        for source, target, row, column in zip(
            micro.source_N, micro.target_N, micro.row_N, micro.column_N, strict=True
        ):
            origin = rows[int(row)]
            place = len(origin.prompt_ids) + int(column)
            whole = origin.prompt_ids + origin.response_ids
            start = int(source) - (place - 1)
            assert micro.ids_T[start : int(source) + 1].tolist() == whole[:place]
            assert micro.position_T[start : int(source) + 1].tolist() == list(range(place))
            assert int(target) == whole[place]
            seen.append((int(row), int(column)))
    assert seen == [(row, column) for row, mask in enumerate(masks) for column, m in enumerate(mask) if m]


def test_nothing_packs_to_nothing() -> None:
    assert pack([], 100) == []


def plain(model: torch.nn.Module, row: Trajectory) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of all response tokens by an unpacked forward pass."""
    ids = torch.tensor([row.prompt_ids + row.response_ids])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
    start = len(row.prompt_ids)
    before = logits[start - 1 : -1]
    logp = before.log_softmax(-1).gather(1, ids[0, start:, None]).squeeze(1)
    return logp, token_entropy(before)


@pytest.mark.parametrize("budget", [1, 25, 1000])
def test_packed_scores_equal_a_plain_forward_pass(model_folder: Path, alone: Ranks, budget: int) -> None:
    rows = [*batch(5), trajectory([1], 98, prompt=1), trajectory([1], 99, prompt=1)]
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    policy = load_policy(model_folder, alone, precision="fp32", gradient_checkpointing=True)
    logp_BL, entropy_BL = score(policy, rows, budget, alone)
    for number, row in enumerate(rows):
        keep = torch.tensor(row.mask).bool()
        logp_L, entropy_L = plain(model, row)
        torch.testing.assert_close(logp_BL[number, : len(row)][keep], logp_L[keep], rtol=0, atol=1e-5)
        torch.testing.assert_close(entropy_BL[number, : len(row)][keep], entropy_L[keep], rtol=0, atol=1e-5)
        assert not logp_BL[number, : len(row)][~keep].any()
        assert not logp_BL[number, len(row) :].any()


def test_scores_of_no_trajectories(model_folder: Path, alone: Ranks) -> None:
    policy = load_policy(model_folder, alone, precision="fp32", gradient_checkpointing=False)
    logp_BL, entropy_BL = score(policy, [], 100, alone)
    assert logp_BL.shape == entropy_BL.shape == (0, 0)


def test_weights_go_out_under_their_hugging_face_names(model_folder: Path, alone: Ranks) -> None:
    policy = load_policy(model_folder, alone, precision="fp32", gradient_checkpointing=False)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    weights, wanted = dict(full_weights(policy)), model.state_dict()
    assert weights.keys() == wanted.keys() - {"lm_head.weight"}
    assert all(torch.equal(weights[name], wanted[name]) for name in weights)


def test_bfloat16_on_one_process_keeps_float32_masters(model_folder: Path, alone: Ranks) -> None:
    """The default precision, without torchrun."""
    policy = load_policy(model_folder, alone, precision="bf16", gradient_checkpointing=True)
    exact = load_policy(model_folder, alone, precision="fp32", gradient_checkpointing=False)
    rows = batch(3)
    low_BL, full_BL = (score(one, rows, 100, alone)[0] for one in (policy, exact))
    assert 0 < (low_BL - full_BL).abs().max() < 0.3
    wanted = dict(full_weights(exact))
    for name, tensor in full_weights(policy):
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, wanted[name])
