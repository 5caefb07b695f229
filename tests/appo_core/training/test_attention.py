"""Attention by trajectory gives what a mask over the whole pack gives, and leaves other models alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from appo_core.training.attention import NAME, packed_arguments, use_packed_attention
from appo_core.training.policy import load_policy
from appo_core.training.ranks import Ranks

LENGTHS = (7, 1, 12, 3)


def packed(model: Any, **arguments: Any) -> tuple[Tensor, list[Tensor]]:
    """Hidden states (T, D) of a pack of seeded ids, and gradients of their weighted sum."""
    ids = torch.randint(5, 90, (1, sum(LENGTHS)), generator=torch.Generator().manual_seed(3))
    positions = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False, **arguments).last_hidden_state[0]
    model.zero_grad()
    (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
    return hidden.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("recomputed", [False, True])
def test_values_and_gradients_are_those_of_a_masked_pack(model_folder: Path, recomputed: bool) -> None:
    masked = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).train()
    assert use_packed_attention(model)
    if recomputed:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    hidden, gradients = packed(model, **packed_arguments(model, LENGTHS))
    expected, expected_gradients = packed(masked)
    torch.testing.assert_close(hidden, expected, rtol=1e-4, atol=1e-5)
    assert len(gradients) == len(expected_gradients) > 10
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_without_lengths_it_is_the_models_own_attention(model_folder: Path) -> None:
    """A padded batch with a mask, as other code may give it."""
    own = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    use_packed_attention(model)
    ids, mask = torch.arange(5, 25).view(2, 10), torch.ones(2, 10, dtype=torch.long)
    mask[1, :4] = 0
    with torch.no_grad():
        torch.testing.assert_close(
            model(input_ids=ids, attention_mask=mask).logits, own(input_ids=ids, attention_mask=mask).logits
        )


def test_the_policy_uses_it(model_folder: Path, alone: Ranks) -> None:
    policy = load_policy(model_folder, alone, precision="fp32", gradient_checkpointing=False)
    assert policy.model.config._attn_implementation == NAME


SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)),
        Qwen2ForCausalLM(Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    ],
    ids=["mistral", "qwen2"],
)
def test_models_with_sliding_windows_keep_their_masks(model: Any) -> None:
    before = model.config._attn_implementation
    assert not use_packed_attention(model)
    assert model.config._attn_implementation == before
    assert packed_arguments(model, LENGTHS) == {}
