"""Attention over packed trajectories, one trajectory after another: no work, and no mask, for pairs that never meet.

The usual way, a mask over the whole pack, costs T^2 for T tokens in all: at a budget of 16,384 tokens and trajectories
of a few hundred, nearly all of it for nothing. By trajectory, the cost is that of the trajectories, and each gets
PyTorch's causal kernel. Models whose attention is of another kind keep the mask.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "appo_packed"
"""Under which transformers finds it."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: tuple[int, ...] | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each of the trajectories of `lengths` tokens that a single row holds.

    Shapes as in transformers: query (1, heads, T, D), key and value (1, key-value heads, T, D) -> (1, T, heads, D).
    Without `lengths` it is transformers' own attention.
    """
    if lengths is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    parts = zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    grouped = query.shape[1] != key.shape[1]
    whole = torch.cat(
        [
            nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped
            )
            for q, k, v in parts
        ],
        dim=2,
    )
    return whole.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def use_packed_attention(model: Any) -> bool:
    """Switch `model` over where that changes nothing but the speed; returns whether it did.

    Left alone are models that PyTorch's attention does not serve, and those with sliding windows.
    """
    config = model.config
    plain = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    window = getattr(config, "sliding_window", None) if not hasattr(config, "layer_types") else None
    if config._attn_implementation != "sdpa" or not plain or window is not None:
        return False
    model.set_attn_implementation(NAME)
    return True


def packed_arguments(model: Any, lengths: tuple[int, ...]) -> dict[str, Any]:
    """What a forward pass over a pack is given besides ids and positions."""
    if model.config._attn_implementation != NAME:
        return {}
    # transformers takes a mask of four dimensions as it is, and so builds none.
    no_mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=next(model.parameters()).device)
    return {"attention_mask": no_mask, "lengths": lengths}
