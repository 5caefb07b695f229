"""Drawing tokens from logits, row by row; the order of the filters is vLLM's."""

from collections.abc import Sequence

import torch
from torch import Tensor

from appo_core.rollout.engines.base import SamplingParams

# V: vocabulary


def draw(logits_V: Tensor, sampling: SamplingParams, seen: Sequence[int], generator: torch.Generator) -> int:
    """One token id; at temperature 0 the likeliest. `seen`, prompt and response, get the repetition penalty."""
    scores_V = penalised(logits_V.float(), sampling.repetition_penalty, seen)
    if sampling.temperature == 0:
        return int(scores_V.argmax())
    probs_V = filtered(scores_V / sampling.temperature, sampling).softmax(-1)
    noise_V = torch.empty_like(probs_V).exponential_(generator=generator)
    return int((probs_V / noise_V).argmax())


def penalised(logits_V: Tensor, penalty: float, seen: Sequence[int]) -> Tensor:
    """Positive logits of seen tokens divided by the penalty, negative ones multiplied (Keskar et al., 2019)."""
    if penalty == 1.0:
        return logits_V
    ids = torch.tensor(sorted(set(seen)), device=logits_V.device)
    old = logits_V[ids]
    return logits_V.index_copy(0, ids, torch.where(old > 0, old / penalty, old * penalty))


def filtered(scores_V: Tensor, sampling: SamplingParams) -> Tensor:
    """`scores_V` with -inf where min-p, top-k or top-p leave a token out."""
    if sampling.min_p > 0:
        probs_V = scores_V.softmax(-1)
        scores_V = scores_V.masked_fill(probs_V < sampling.min_p * probs_V.max(), float("-inf"))
    if 0 < sampling.top_k < len(scores_V):
        scores_V = scores_V.masked_fill(scores_V < scores_V.topk(sampling.top_k).values[-1], float("-inf"))
    if sampling.top_p < 1:
        ordered_V, order_V = scores_V.sort(descending=True)
        probs_V = ordered_V.softmax(-1)
        beyond_V = probs_V.cumsum(-1) - probs_V >= sampling.top_p
        scores_V = scores_V.masked_fill(beyond_V.scatter(0, order_V, beyond_V), float("-inf"))
    return scores_V
