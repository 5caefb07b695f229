"""One optimiser update on the initial rollouts of a mini-batch of prompts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from appo_core.algorithm import PolicyLoss, kl_k3, policy_loss
from appo_core.config.algorithm import LossSettings
from appo_core.config.rl import OptimizerSettings
from appo_core.rollout.types import Trajectory
from appo_core.training.experience import behaviour_tensor, mask_tensor
from appo_core.training.packing import MicroBatch, pack
from appo_core.training.policy import Policy, Reference, padded_batches, score
from appo_core.training.ranks import Ranks


def build_optimizer(policy: Policy, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over the trainable parameters."""
    return torch.optim.AdamW(
        [parameter for parameter in policy.parameters() if parameter.requires_grad],
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


@dataclass
class UpdateSums:
    """Sums over the tokens of this rank, for the logged means."""

    totals: dict[str, float] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """Add to the named sums."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value

    def means(self, tokens: float, ranks: Ranks) -> dict[str, float]:
        """Every sum over all ranks, per token."""
        return {name: ranks.sum(value) / max(tokens, 1.0) for name, value in sorted(self.totals.items())}


class Updater:
    """Applies the policy loss with one global token mean over micro-batches and ranks."""

    def __init__(
        self,
        policy: Policy,
        reference: Policy | Reference | None,
        optimizer: torch.optim.Optimizer,
        loss: LossSettings,
        optimization: OptimizerSettings,
        budget: int,
        ranks: Ranks,
        longest_response: int = 1,
    ) -> None:
        self.policy, self.reference, self.optimizer = policy, reference, optimizer
        self.loss, self.optimization, self.budget, self.ranks = loss, optimization, budget, ranks
        self.longest_response = longest_response
        """Tokens; what a row counts as when losses are aggregated by `sequence_sum`."""

    def update(self, trajectories: Sequence[Trajectory], advantage_BL: Tensor, number: int) -> dict[str, float]:
        """One optimiser step; returns the diagnostics. `number` counts updates from 0, for the warm-up."""
        mask_BL = mask_tensor(trajectories)
        tokens = self.ranks.sum(float(mask_BL.sum()))
        divisor = max(tokens, 1.0)
        if self.loss.aggregate == "sequence_sum":
            divisor = max(self.ranks.sum(len(trajectories)), 1.0) * self.longest_response
        reference_BL = self._reference(trajectories)
        behaviour_BL = behaviour_tensor(trajectories)
        sums = UpdateSums()
        bonus = self.loss.entropy_coefficient != 0
        for batch, real in padded_batches(pack(trajectories, self.budget), self.ranks):
            logp_N, entropy_N = self.policy(batch.to(self.ranks.device), entropy_gradient=bonus)
            if real:
                tensors = _rows(batch, logp_N, entropy_N, behaviour_BL, advantage_BL, reference_BL)
                loss = self._loss(tensors, sums)
            else:
                loss = 0.0 * logp_N.sum()
            (loss * self.ranks.world / divisor).backward()
        return sums.means(tokens, self.ranks) | self._step(number)

    def _reference(self, trajectories: Sequence[Trajectory]) -> Tensor | None:
        if self.reference is None:
            return None
        return score(self.reference, trajectories, self.budget, self.ranks)[0]

    def _loss(self, rows: "_Rows", sums: UpdateSums) -> Tensor:
        """Sum of the loss over one micro-batch's tokens."""
        part = policy_loss(rows.logp, rows.behaviour, rows.advantage, rows.mask, self.loss)
        total = part.loss_sum - self.loss.entropy_coefficient * rows.entropy.sum()
        if rows.reference is not None:
            kl = kl_k3(rows.logp, rows.reference, rows.mask).where(rows.mask, torch.zeros_like(rows.logp)).sum()
            total = total + self.loss.kl_coefficient * kl
            sums.add(kl=float(kl.detach()))
        _diagnose(part, rows, sums)
        return total

    def _step(self, number: int) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.optimization.learning_rate * min(
                1.0, (number + 1) / (self.optimization.warmup_steps + 1)
            )
        norm: Any = nn.utils.clip_grad_norm_(self.policy.parameters(), self.optimization.max_grad_norm)
        size = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        if math.isfinite(size):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"grad_norm": size, "skipped": float(not math.isfinite(size))}


@dataclass(frozen=True)
class _Rows:
    """The generated tokens of one micro-batch, a trajectory per row, injected tokens left out, padded behind."""

    mask: Tensor
    logp: Tensor
    entropy: Tensor
    behaviour: Tensor
    advantage: Tensor
    reference: Tensor | None


def _rows(
    batch: MicroBatch,
    logp_N: Tensor,
    entropy_N: Tensor,
    behaviour_BL: Tensor,
    advantage_BL: Tensor,
    reference_BL: Tensor | None,
) -> _Rows:
    """Gather one micro-batch's tokens from the batch-wide tensors into rows."""
    _, row_N = torch.unique_consecutive(batch.row_N, return_inverse=True)
    first_R = torch.searchsorted(row_N, torch.arange(int(row_N[-1]) + 1))
    column_N = torch.arange(len(row_N)) - first_R[row_N]
    shape = (int(row_N[-1]) + 1, int(column_N.max()) + 1)
    device = logp_N.device
    place = (row_N.to(device), column_N.to(device))

    def rows(values_N: Tensor) -> Tensor:
        return torch.zeros(shape, dtype=logp_N.dtype, device=device).index_put(place, values_N.to(logp_N))

    def gathered(values_BL: Tensor) -> Tensor:
        return rows(values_BL[batch.row_N, batch.column_N])

    mask = torch.zeros(shape, dtype=torch.bool, device=device)
    mask[place] = True
    return _Rows(
        mask=mask,
        logp=rows(logp_N),
        entropy=rows(entropy_N),
        behaviour=gathered(behaviour_BL),
        advantage=gathered(advantage_BL),
        reference=None if reference_BL is None else gathered(reference_BL),
    )


def _diagnose(part: PolicyLoss, rows: _Rows, sums: UpdateSums) -> None:
    with torch.no_grad():
        sums.add(
            policy_loss=float(part.loss_sum),
            entropy=float(rows.entropy.sum()),
            logprob_gap=float((rows.behaviour - rows.logp)[rows.mask].abs().sum()),
            approx_kl=float((rows.behaviour - rows.logp)[rows.mask].sum()),
            ratio=float(part.ratio_BL[rows.mask].sum()),
            clip_share=float(part.clipped_BL.sum()),
            filtered_share=float((rows.mask & ~part.kept_BL).sum()),
            future_weight=float(part.future_weight_BL[rows.mask].sum()),
        )
