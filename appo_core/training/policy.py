"""The policy: log-probs and entropies of packed trajectories, never a whole (tokens x vocabulary) tensor in memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM

from appo_core.algorithm import token_entropy
from appo_core.config.lora import LoraSettings
from appo_core.rollout.types import Trajectory
from appo_core.training import lora
from appo_core.training.attention import packed_arguments, use_packed_attention
from appo_core.training.packing import MicroBatch, pack
from appo_core.training.ranks import Ranks

HEAD_CHUNK = 1024
"""Tokens whose logits are in memory at once."""
_OWN, _HEAD, _EMBEDDING = "model.", "lm_head.weight", "model.embed_tokens.weight"
"""What `Policy` puts before the names of its model; the two ends of a tied model."""


class Policy(nn.Module):
    """A causal language model that returns what the algorithm needs of each generated token."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.factors = lora.scalings(model)
        """Layers with a LoRA adapter, and the factor it counts; empty in full fine-tuning."""

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return bool(self.model.config.tie_word_embeddings)

    def forward(self, batch: MicroBatch, *, entropy_gradient: bool = False) -> tuple[Tensor, Tensor]:
        """Log-prob (with gradient) and entropy (nats, with gradient on request) of every generated token: two (N,)."""
        hidden_ND = self.hidden(batch)[batch.source_N]
        weight_VD = self.model.lm_head.weight
        chunks = [
            checkpoint(_head, hidden, weight_VD, target, entropy_gradient, use_reentrant=False)
            for hidden, target in zip(hidden_ND.split(HEAD_CHUNK), batch.target_N.split(HEAD_CHUNK), strict=True)
        ]
        return torch.cat([chunk[0] for chunk in chunks]), torch.cat([chunk[1] for chunk in chunks])

    def hidden(self, batch: MicroBatch) -> Tensor:
        """Last hidden state of every token of a pack: (T, D)."""
        hidden_1TD: Tensor = self.model.model(
            input_ids=batch.ids_T[None],
            position_ids=batch.position_T[None],
            use_cache=False,
            **packed_arguments(self.model, batch.lengths),
        ).last_hidden_state
        return hidden_1TD[0]


def _head(hidden_ND: Tensor, weight_VD: Tensor, target_N: Tensor, entropy_gradient: bool) -> tuple[Tensor, Tensor]:
    logits_NV = (hidden_ND @ weight_VD.T).float()
    logp_N = -nn.functional.cross_entropy(logits_NV, target_N, reduction="none")
    return logp_N, token_entropy(logits_NV if entropy_gradient else logits_NV.detach())


class Reference:
    """The policy with its LoRA adapter switched off: the model it started from, without a copy of it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @torch.no_grad()
    def __call__(self, batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """As the policy's own; no gradient."""
        with lora.adapter_off(self.policy.model):
            result: tuple[Tensor, Tensor] = self.policy(batch)
        return result


def load_policy(
    folder: Path,
    ranks: Ranks,
    *,
    precision: Literal["bf16", "fp32"],
    gradient_checkpointing: bool,
    trainable: bool = True,
    adapter: LoraSettings | None = None,
    seed: int = 0,
) -> Policy:
    """The model of a Hugging Face folder as a policy, sharded with FSDP2 over the ranks.

    What is trained has float32 master weights. With an `adapter` (its A drawn from `seed`) the model below it is
    frozen, so that under bf16 its weights keep the data type of their files.
    """
    kept = adapter is not None and precision == "bf16"
    dtype: Any = "auto" if kept else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    use_packed_attention(model)
    model.requires_grad_(trainable)
    if adapter is not None:
        lora.add_adapter(model, adapter, seed)
    model.to(ranks.device)
    if gradient_checkpointing and trainable:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = Policy(model)
    policy.train(trainable)
    if ranks.world > 1 or precision == "bf16":
        ranks.group()
        _shard(policy, precision)
    return policy


def load_reference(
    policy: Policy, folder: Path, ranks: Ranks, *, precision: Literal["bf16", "fp32"]
) -> Policy | Reference:
    """What the KL term compares the policy with: a frozen copy of the model, or the policy without its adapter."""
    if policy.factors:
        return Reference(policy)
    return load_policy(folder, ranks, precision=precision, gradient_checkpointing=False, trainable=False)


def _shard(policy: Policy, precision: Literal["bf16", "fp32"]) -> None:
    low = torch.bfloat16 if precision == "bf16" else torch.float32
    mixed = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
    for layer in policy.model.model.layers:
        fully_shard(layer, mp_policy=mixed)
    fully_shard(policy, mp_policy=mixed)


def full_weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """Hugging Face names and whole tensors, one at a time, an adapter merged in; a collective when sharded."""
    # Of the policy, not of its model: the hooks that undo a forward pass's gathering in low precision sit there.
    state = {name.removeprefix(_OWN): tensor for name, tensor in policy.state_dict().items()}
    if policy.tied:
        state.pop(_HEAD, None)
    yield from lora.merged(state, policy.factors)


def model_state(policy: Policy) -> dict[str, Any]:
    """What a checkpoint holds of the policy: (sharded) tensors by their names in Hugging Face's or PEFT's files.

    All weights, a tied head left out; or the adapter alone, for the model below it never changes.
    """
    state = {name.removeprefix(_OWN): tensor for name, tensor in get_model_state_dict(policy).items()}
    if policy.factors:
        return {lora.file_name(name): tensor for name, tensor in state.items() if lora.is_adapter(name)}
    if policy.tied:
        state.pop(_HEAD, None)
    return state


def load_model_state(policy: Policy, state: Mapping[str, Any]) -> None:
    """Put back what `model_state` gave."""
    weights = {lora.parameter_name(name) if policy.factors else name: tensor for name, tensor in state.items()}
    if policy.tied and not policy.factors:
        weights[_HEAD] = weights[_EMBEDDING]
    options = StateDictOptions(strict=not policy.factors)
    set_model_state_dict(policy, {_OWN + name: tensor for name, tensor in weights.items()}, options=options)


@contextmanager
def _without_dropout(policy: Policy) -> Iterator[None]:
    training = policy.training
    policy.eval()
    try:
        yield
    finally:
        policy.train(training)


@torch.no_grad()
def score(
    policy: Policy | Reference, trajectories: Sequence[Trajectory], budget: int, ranks: Ranks
) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of all generated tokens as (B, L) tensors on the CPU, 0 elsewhere."""
    length = max((len(trajectory) for trajectory in trajectories), default=0)
    logp_BL = torch.zeros(len(trajectories), length)
    entropy_BL = torch.zeros_like(logp_BL)
    with _without_dropout(policy.policy if isinstance(policy, Reference) else policy):
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
    ids, positions, zero = torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([0])
    stand_in = MicroBatch(ids, positions, zero, zero, zero, zero, lengths=(2,))
    for _ in range(int(ranks.maximum(len(batches))) - len(batches)):
        yield stand_in, False
