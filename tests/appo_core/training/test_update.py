"""An update is that of one big batch, whatever the micro-batches; sharded training equals unsharded."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from appo_core.algorithm import kl_k3, policy_loss
from appo_core.config.algorithm import LossSettings
from appo_core.config.rl import OptimizerSettings
from appo_core.environments import ROOT
from appo_core.rollout.types import Trajectory
from appo_core.training.experience import behaviour_tensor, mask_tensor
from appo_core.training.policy import Policy, full_weights, load_policy
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer
from tests.appo_core.training.made import batch
from tests.appo_core.training.updates import LOSS, OPTIMIZER, advantages, run


def policy_of(folder: Path, ranks: Ranks) -> Policy:
    return load_policy(folder, ranks, precision="fp32", gradient_checkpointing=True)


class Recorded(torch.optim.SGD):
    """Keeps the gradients it is given, and leaves the weights alone."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        parameters = self.param_groups[0]["params"]
        self.seen = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]


def gradient(folder: Path, ranks: Ranks, rows: list[Trajectory], budget: int, loss: LossSettings) -> list[Tensor]:
    policy = policy_of(folder, ranks)
    optimizer = Recorded(policy.parameters(), lr=0.1)
    never_clipped = OptimizerSettings(max_grad_norm=1e9)
    reference = load_policy(folder, ranks, precision="fp32", gradient_checkpointing=False, trainable=False)
    Updater(policy, reference, optimizer, loss, never_clipped, budget, ranks).update(rows, advantages(rows), 0)
    return optimizer.seen


def big_batch_gradient(folder: Path, ranks: Ranks, rows: list[Trajectory], loss: LossSettings) -> list[Tensor]:
    """The same by a plain, padded, unpacked forward pass with autograd."""
    policy = policy_of(folder, ranks)
    mask_BL, behaviour_BL = mask_tensor(rows), behaviour_tensor(rows)
    logp_BL = torch.zeros(mask_BL.shape)
    for number, row in enumerate(rows):
        ids = torch.tensor([row.prompt_ids + row.response_ids])
        start = len(row.prompt_ids)
        logits = policy.model(input_ids=ids).logits[0, start - 1 : -1]
        own = logits.log_softmax(-1).gather(1, ids[0, start:, None]).squeeze(1)
        logp_BL = logp_BL.index_put((torch.tensor(number), torch.arange(len(row))), own)
    # Rows without their injected tokens, so that only the loss function decides.
    part = policy_loss(logp_BL, behaviour_BL, advantages(rows), mask_BL, loss)
    total = part.loss_sum + loss.kl_coefficient * kl_k3(logp_BL, logp_BL.detach(), mask_BL).sum()
    (total / mask_BL.sum()).backward()
    return [parameter.grad for parameter in policy.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("budget", [1, 20, 45, 10_000])
def test_odd5_odd6_gradient_is_that_of_one_big_batch(model_folder: Path, alone: Ranks, budget: int) -> None:
    """ODD-5, ODD-6: in the published code a token's weight depends on its micro-batch and on its rank."""
    rows = batch(6)
    got, wanted = gradient(model_folder, alone, rows, budget, LOSS), big_batch_gradient(model_folder, alone, rows, LOSS)
    assert len(got) == len(wanted) > 10
    assert max(float(tensor.abs().max()) for tensor in wanted) > 1e-4
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_metrics_are_token_means_whatever_the_budget(model_folder: Path, alone: Ranks) -> None:
    (small, _), (large, _) = run(model_folder, alone, budget=1), run(model_folder, alone, budget=10_000)
    for one, other in zip(small, large, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert large[0]["entropy"] > 1
    assert large[0]["ratio"] != 1
    assert large[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert large[-1]["kl"] > 0


def test_loss_goes_down_on_what_is_rewarded(model_folder: Path, alone: Ranks) -> None:
    """Repeated updates raise the log-probs of rows with a positive advantage above those with a negative one."""
    from appo_core.training.policy import score

    rows = batch(4)
    policy = policy_of(model_folder, alone)
    optimizer = build_optimizer(policy, OPTIMIZER)
    updater = Updater(policy, None, optimizer, LossSettings(kl_coefficient=0), OPTIMIZER, 60, alone)
    sign_B1 = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    before, _ = score(policy, rows, 1000, alone)
    for row, logp in zip(rows, before, strict=True):
        row.behaviour_logprobs = logp[: len(row)].tolist()
    for number in range(3):
        updater.update(rows, sign_B1 * mask_tensor(rows), number)
    moved_B = (score(policy, rows, 1000, alone)[0] - before).sum(dim=1)
    assert (moved_B[[0, 2]] > 0).all()
    assert (moved_B[[1, 3]] < 0).all()


def test_entropy_bonus_raises_the_entropy(model_folder: Path, alone: Ranks) -> None:
    def after(coefficient: float) -> float:
        loss = LossSettings(kl_coefficient=0, entropy_coefficient=coefficient)
        return run(model_folder, alone, budget=60, loss=loss, advantage=0.0)[0][-1]["entropy"]

    assert after(1.0) > after(0.0) + 0.01
    assert after(-1.0) < after(0.0) - 0.01


def test_update_without_rows_or_tokens_changes_nothing(model_folder: Path, alone: Ranks) -> None:
    policy = policy_of(model_folder, alone)
    before = {name: tensor.clone() for name, tensor in full_weights(policy)}
    updater = Updater(policy, None, build_optimizer(policy, OPTIMIZER), LOSS, OPTIMIZER, 60, alone)
    metrics = updater.update([], torch.zeros(0, 0), 0)
    assert all(math.isfinite(value) for value in metrics.values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in full_weights(policy))


def test_gradient_that_is_not_finite_is_skipped(model_folder: Path, alone: Ranks) -> None:
    rows = batch(2)
    policy = policy_of(model_folder, alone)
    before = {name: tensor.clone() for name, tensor in full_weights(policy)}
    updater = Updater(policy, None, build_optimizer(policy, OPTIMIZER), LOSS, OPTIMIZER, 60, alone)
    metrics = updater.update(rows, advantages(rows) * math.inf, 0)
    assert metrics["skipped"] == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in full_weights(policy))


def test_learning_rate_warms_up(model_folder: Path, alone: Ranks) -> None:
    policy, rows = policy_of(model_folder, alone), batch(2)
    optimizer = build_optimizer(policy, OPTIMIZER)
    warm = OptimizerSettings(learning_rate=0.4, warmup_steps=3)
    updater = Updater(policy, None, optimizer, LOSS, warm, 1000, alone)
    rates = []
    for number in range(5):
        updater.update(rows, advantages(rows), number)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_ranks_equal_one(model_folder: Path, alone: Ranks, tmp_path: Path, precision: str) -> None:
    """FSDP2 over two ranks on gloo: losses and weights as on one, to rounding (float32) or close (bfloat16)."""
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*program, "-m", "tests.appo_core.training.updates", str(model_folder), precision, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300)
    expected, weights = run(model_folder, alone, budget=60, precision=precision)
    exact = precision == "fp32"
    for rank in range(2):
        got = json.loads((tmp_path / f"metrics-{rank}.json").read_text())
        for one, other in zip(got, expected, strict=True):
            assert one == pytest.approx(other, rel=1e-4 if exact else 0.2, abs=1e-5 if exact else 0.05)
    sharded = torch.load(tmp_path / "weights.pt")
    assert sharded.keys() == weights.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(sharded[name], tensor, rtol=0, atol=2e-5 if exact else 2e-2)
