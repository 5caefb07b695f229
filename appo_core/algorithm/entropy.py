"""Exact token entropies from logits."""

import torch
from torch import Tensor


def token_entropy(logits_BLV: Tensor) -> Tensor:
    """Entropy (nats) of the distribution at every position: ``H = logsumexp(z) - sum softmax(z) z``.

    Exact over the whole vocabulary, never from a top-k list. Entries of -inf have probability 0 and contribute 0.
    Computed in float32 at least; callers with long sequences pass chunks. Shape (..., V) -> (...).
    """
    logits = logits_BLV.float() if logits_BLV.dtype in (torch.float16, torch.bfloat16) else logits_BLV
    logp = torch.log_softmax(logits, dim=-1)
    # The bound turns 0 * -inf into 0, in the value and in the gradient.
    return -(logp.exp() * logp.clamp_min(torch.finfo(logp.dtype).min)).sum(dim=-1)
