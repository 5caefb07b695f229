"""The policy: log-probs and entropies of packed trajectories, never a whole (tokens x vocabulary) tensor in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

from appo_core.algorithm import token_entropy
from appo_core.rollout.types import Trajectory
from appo_core.training.packing import MicroBatch, pack
from appo_core.training.ranks import Ranks

HEAD_CHUNK = 2048
"""Tokens whose logits are in memory at once."""


class Policy(nn.Module):
    """A causal language model that returns what the algorithm needs of each generated token."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, batch: MicroBatch, *, entropy_gradient: bool = False) -> tuple[Tensor, Tensor]:
        """Log-prob (with gradient) and entropy (nats, with gradient on request) of every generated token: two (N,)."""
        hidden_TD = self.model.model(
            input_ids=batch.ids_T[None], position_ids=batch.position_T[None], use_cache=False
        ).last_hidden_state[0]
        hidden_ND = hidden_TD[batch.source_N]
        weight_VD = self.model.lm_head.weight
        chunks = [
            checkpoint(_head, hidden, weight_VD, target, entropy_gradient, use_reentrant=False)
            for hidden, target in zip(hidden_ND.split(HEAD_CHUNK), batch.target_N.split(HEAD_CHUNK), strict=True)
        ]
        return torch.cat([chunk[0] for chunk in chunks]), torch.cat([chunk[1] for chunk in chunks])


def _head(hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, entropy_gradient: bool) -> tuple[Tensor, Tensor]:
    logits_NV = (hidden_ND @ weight_VD.T).float()
    logp_N = -nn.functional.cross_entropy(logits_NV, target_N, reduction="none")
    return logp_N, token_entropy(logits_NV if entropy_gradient else logits_NV.detach())


def load_policy(
    folder: Path,
    ranks: Ranks,
    *,
    precision: Literal["bf16", "fp32"],
    gradient_checkpointing: bool,
    trainable: bool = True,
) -> Policy:
    """The model of a Hugging Face folder as a policy: float32 master weights, sharded with FSDP2 over the ranks."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    model.to(ranks.device)
    if gradient_checkpointing and trainable:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = Policy(model)
    policy.requires_grad_(trainable)
    policy.train(trainable)
    if ranks.world > 1 or precision == "bf16":
        ranks.group()
        _shard(policy, precision)
    return policy


def _shard(policy: Policy, precision: Literal["bf16", "fp32"]) -> None:
    low = torch.bfloat16 if precision == "bf16" else torch.float32
    mixed = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
    for layer in policy.model.model.layers:
        fully_shard(layer, mp_policy=mixed)
    fully_shard(policy, mp_policy=mixed)


def full_weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """Hugging Face names and whole tensors, one at a time; a collective when sharded."""
    # Of the policy, not of its model: the hooks that undo a forward pass's gathering in low precision sit there.
    for name, tensor in policy.state_dict().items():
        if name == "model.lm_head.weight" and policy.model.config.tie_word_embeddings:
            continue
        yield name.removeprefix("model."), tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


@torch.no_grad()
def score(policy: Policy, trajectories: Sequence[Trajectory], budget: int, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of all generated tokens as (B, L) tensors on the CPU, 0 elsewhere."""
    length = max((len(trajectory) for trajectory in trajectories), default=0)
    logp_BL = torch.zeros(len(trajectories), length)
    entropy_BL = torch.zeros_like(logp_BL)
    for batch, real in padded_batches(pack(trajectories, budget), ranks):
        logp_N, entropy_N = policy(batch.to(ranks.device))
        if real:
            logp_BL[batch.row_N, batch.column_N] = logp_N.float().cpu()
            entropy_BL[batch.row_N, batch.column_N] = entropy_N.float().cpu()
    return logp_BL, entropy_BL


def padded_batches(batches: list[MicroBatch], ranks: Ranks) -> Iterator[tuple[MicroBatch, bool]]:
    """`batches`, then stand-ins (marked False) until every rank has had as many: sharded passes are collective."""
    for batch in batches:
        yield batch, True
    stand_in = MicroBatch(*(torch.tensor(values) for values in ([0, 0], [0, 1], [0], [0], [0], [0])))
    for _ in range(int(ranks.maximum(len(batches))) - len(batches)):
        yield stand_in, False
