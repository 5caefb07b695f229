"""``python -m appo_core.bench.gpu``: the parts that a GPU changes, checked and measured on one; `make gpu-check`.

Needs PyTorch, transformers and pydantic only. Without a CUDA device it says so and ends well; a check that fails
raises. The figures go between the markers in docs/performance.md.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from appo_core.algorithm import branching_score, future_value, policy_loss, select_branch_points
from appo_core.bench.lengths import long_shapes, tokens, trajectories
from appo_core.bench.model import LARGE, TINY, make_model
from appo_core.bench.page import write_section
from appo_core.bench.rl import short_run
from appo_core.bench.table import Figure, show
from appo_core.bench.train import Size, throughput
from appo_core.bench.variants import best_seconds
from appo_core.config.algorithm import LossSettings
from appo_core.config.model import TinyModel
from appo_core.config.rl import OptimizerSettings
from appo_core.environments import ROOT
from appo_core.training.policy import full_weights, load_policy
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer

PAGE = ROOT / "docs" / "performance.md"
BIG = TinyModel(
    hidden_size=1024, layers=12, heads=16, key_value_heads=8, head_dim=64, intermediate_size=4096, max_positions=8192
)
"""About 190 million parameters: enough work for a GPU."""


@dataclass(frozen=True)
class Check:
    """How much is done."""

    rows: int
    length: int
    train: Size
    model: TinyModel


FULL = Check(16, 8192, Size(BIG, 32, 16384, 4096, 3), BIG)
QUICK = Check(2, 64, Size(TINY, 4, 256, 48, 1), TINY)


def kernels(check: Check, device: torch.device) -> list[Figure]:
    """The algorithm's functions on the device: equal to those on the CPU, and how long they take."""
    inputs = _inputs(check)
    on_device = {name: tensor.to(device) for name, tensor in inputs.items()}
    expected, got = _algorithm(**inputs), _algorithm(**on_device)
    for name, value in expected.items():
        torch.testing.assert_close(
            got[name].cpu(), value, rtol=1e-4, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )
    score_BL, candidate_BL = got["score"], got["score"] > 0
    group_B = torch.zeros(check.rows, dtype=torch.long, device=device)

    def select() -> object:
        return select_branch_points(score_BL, candidate_BL, group_B, budget=8, min_distance=4)

    work: dict[str, Callable[[], object]] = {
        "scores, advantage weights and loss": lambda: _algorithm(**on_device),
        "selection": select,
    }
    seconds = best_seconds(work, device, 3)
    return [
        Figure(f"{name}, {check.rows} x {check.length} tokens", 1000 * value, "ms") for name, value in seconds.items()
    ]


def _inputs(check: Check) -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(0)
    shape = (check.rows, check.length)
    mask_BL = torch.rand(shape, generator=made) < 0.8
    old_BL = -torch.rand(shape, generator=made, dtype=torch.float64)
    now_BL = old_BL + 0.05 * torch.randn(shape, generator=made, dtype=torch.float64)
    entropy_BL = torch.rand(shape, generator=made, dtype=torch.float64)
    advantage_BL = torch.randn(shape, generator=made, dtype=torch.float64)
    return {
        "now_BL": now_BL,
        "old_BL": old_BL,
        "entropy_BL": entropy_BL,
        "advantage_BL": advantage_BL,
        "mask_BL": mask_BL,
    }


def _algorithm(
    now_BL: torch.Tensor,
    old_BL: torch.Tensor,
    entropy_BL: torch.Tensor,
    advantage_BL: torch.Tensor,
    mask_BL: torch.Tensor,
) -> dict[str, torch.Tensor]:
    omega_BL = future_value(now_BL, old_BL, mask_BL, gamma=0.99, clip=0.2)
    score_BL, _ = branching_score(entropy_BL, omega_BL, mask_BL)
    loss = policy_loss(now_BL, old_BL, advantage_BL, mask_BL, LossSettings())
    return {"omega": omega_BL, "score": score_BL, "loss": loss.loss_sum, "weight": loss.future_weight_BL}


def sharded_step(check: Check, ranks: Ranks) -> list[Figure]:
    """Optimiser steps in bfloat16 under FSDP2 with recomputed activations; finite, and the masters move."""
    with tempfile.TemporaryDirectory() as folder:
        parameters = make_model(Path(folder), check.model)
        policy = load_policy(Path(folder), ranks, precision="bf16", gradient_checkpointing=True)
    rows = trajectories(long_shapes(check.train.rows, check.train.long_limit), 500)
    optimization = OptimizerSettings(learning_rate=1e-4)
    updater = Updater(
        policy,
        None,
        build_optimizer(policy, optimization),
        LossSettings(kl_coefficient=0.0),
        optimization,
        check.train.budget,
        ranks,
    )
    advantage_BL = torch.linspace(-1, 1, len(rows))[:, None].expand(-1, max(len(row) for row in rows)).contiguous()
    before = {name: tensor.clone() for name, tensor in full_weights(policy)}
    metrics = updater.update(rows, advantage_BL, 0)
    if metrics["skipped"] or not all(torch.isfinite(torch.tensor(value)) for value in metrics.values()):
        raise RuntimeError(f"the update was not finite: {metrics}")
    if not any((tensor != before[name]).any() for name, tensor in full_weights(policy)):
        raise RuntimeError("the update changed no weight")
    seconds = best_seconds({"step": lambda: updater.update(rows, advantage_BL, 0)}, ranks.device, 3)["step"]
    figures = [
        Figure("parameters", parameters / 1e6, "million"),
        Figure("bf16 FSDP2 step", tokens(rows) / seconds, "tokens/s"),
    ]
    if ranks.device.type == "cuda":
        figures.append(Figure("peak memory", torch.cuda.max_memory_allocated() / 2**30, "GiB"))
    return figures


def measure(check: Check, device: torch.device) -> dict[str, list[Figure]]:
    """All sections."""
    ranks = Ranks(0, 1, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    sections = {"algorithm, equal to the CPU's": kernels(check, device)}
    sections |= throughput(check.train, ranks)
    sections["bf16 FSDP2 step"] = sharded_step(check, ranks)
    model = TINY if check is QUICK else LARGE
    sections["short RL run, transformers engine"] = asyncio.run(short_run(model, ranks))
    return sections


def machine() -> str:
    """The device and the versions that the figures belong to."""
    name = torch.cuda.get_device_name(0)
    return f"{name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"


def main(argv: list[str] | None = None) -> int:
    """Check, measure, print and write; returns 0, also without a device."""
    parser = argparse.ArgumentParser(prog="make gpu-check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON per section")
    parser.add_argument("--quick", action="store_true", help="a tiny form, to see that it runs")
    parser.add_argument("--device", default="cuda", help="`cpu` tries the checks without a GPU and writes no page")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the figures are written")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.stdout.write("gpu-check: no CUDA device here; nothing was checked\n")
        return 0
    check = QUICK if arguments.quick else FULL
    sections = measure(check, torch.device(arguments.device, 0) if arguments.device == "cuda" else torch.device("cpu"))
    for title, figures in sections.items():
        show(f"gpu: {title}", figures, as_json=arguments.json)
    if arguments.device == "cuda" and not arguments.quick:
        write_section(arguments.page, machine(), sections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
