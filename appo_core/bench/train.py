"""``python -m appo_core.bench.train``: packing, memory, scoring and gradient checkpointing of the real policy."""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from appo_core.bench.lengths import Shape, demo_shapes, long_shapes, tokens, trajectories
from appo_core.bench.memory import in_fresh_process
from appo_core.bench.model import SMALL, TINY, make_model
from appo_core.bench.table import Figure, show
from appo_core.bench.variants import MaskedPolicy, PaddedPolicy, best_seconds
from appo_core.config.algorithm import LossSettings
from appo_core.config.model import TinyModel
from appo_core.config.rl import OptimizerSettings
from appo_core.rollout.types import Trajectory
from appo_core.training.policy import Policy, load_policy, score
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer

DEMO_LIMIT = 288
"""Prompt and response limits of the demo together: what rows padded to the limits would have."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    model: TinyModel
    rows: int
    """Of one update: a mini-batch of the demo has 32."""
    budget: int
    """Tokens of a micro-batch."""
    long_limit: int
    repeats: int


FULL = Size(SMALL, 32, 4096, 768, 3)
QUICK = Size(TINY, 4, 512, 48, 1)


def packing(
    policy: Policy, rows: Sequence[Trajectory], size: Size, label: str, width: int, ranks: Ranks, goal: str = ""
) -> list[Figure]:
    """One optimiser update, forward and backward, on the same rows packed, padded, and packed under one mask."""
    variants: dict[str, Policy] = {
        "packed": policy,
        "padded to the longest": PaddedPolicy(policy),
        "padded to the limits": PaddedPolicy(policy, width),
        "packed, one mask": MaskedPolicy(policy),
    }
    work = {name: _update(one, rows, size.budget, ranks) for name, one in variants.items()}
    seconds = best_seconds(work, ranks.device, size.repeats)
    figures = [Figure(f"{label}: packed", tokens(rows) / seconds["packed"], "tokens/s")]
    return figures + [
        Figure(f"{label}: packed / {name}", seconds[name] / seconds["packed"], "x", goal if "longest" in name else "")
        for name in list(variants)[1:]
    ]


def _update(policy: Policy, rows: Sequence[Trajectory], budget: int, ranks: Ranks) -> Callable[[], object]:
    loss, optimization = LossSettings(kl_coefficient=0.0), OptimizerSettings(learning_rate=1e-8)
    updater = Updater(policy, None, build_optimizer(policy, optimization), loss, optimization, budget, ranks)
    advantage_BL = torch.ones(len(rows), max(len(row) for row in rows))
    return lambda: updater.update(rows, advantage_BL, 0)


def shapes_of(size: Size) -> dict[str, tuple[list[Shape], int, str]]:
    """Length distributions by name: shapes, the width of a row padded to the limits, the goal."""
    longest = size.long_limit + size.long_limit // 24
    return {
        "demo lengths": (demo_shapes(size.rows), DEMO_LIMIT, ">= 1.5"),
        "long lengths": (long_shapes(size.rows, size.long_limit), longest, ""),
    }


def throughput(size: Size, ranks: Ranks) -> dict[str, list[Figure]]:
    """Packing and the scoring pass, on one model."""
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), size.model)
        policy = load_policy(Path(folder), ranks, precision="fp32", gradient_checkpointing=False)
    if ranks.device.type == "cuda":
        policy.bfloat16()
    figures: list[Figure] = []
    scoring: list[Figure] = []
    for label, (shapes, width, goal) in shapes_of(size).items():
        rows = trajectories(shapes, 500)
        figures += packing(policy, rows, size, label, width, ranks, goal)
        scoring += score_rate(policy, rows, size, label, ranks)
    return {"packing (forward, backward and step)": figures, "scoring pass": scoring}


def score_rate(policy: Policy, rows: Sequence[Trajectory], size: Size, label: str, ranks: Ranks) -> list[Figure]:
    """Tokens per second of the pass that yields log-probs and entropies, beside that of an update."""
    work = {
        "score": lambda: score(policy, rows, size.budget, ranks),
        "update": _update(policy, rows, size.budget, ranks),
    }
    seconds = best_seconds(work, ranks.device, size.repeats)
    return [
        Figure(f"{label}: scoring", tokens(rows) / seconds["score"], "tokens/s"),
        Figure(f"{label}: scoring / update", seconds["update"] / seconds["score"], "x"),
    ]


def memory(*, quick: bool) -> dict[str, list[Figure]]:
    """Peaks of the head and of activations, each in a fresh process."""
    peaks = {case: in_fresh_process(case, quick=quick) for case in ("whole", "chunked", "kept", "recomputed")}
    head = [
        Figure("logits of all tokens at once", peaks["whole"].megabytes, "MiB above the start"),
        Figure("logits in chunks", peaks["chunked"].megabytes, "MiB above the start"),
        Figure("at once / in chunks, memory", peaks["whole"].megabytes / peaks["chunked"].megabytes, "x"),
        Figure("in chunks / at once, time", peaks["chunked"].seconds / peaks["whole"].seconds, "x"),
    ]
    activations = [
        Figure("activations kept", peaks["kept"].megabytes, "MiB above the start"),
        Figure("activations recomputed", peaks["recomputed"].megabytes, "MiB above the start"),
        Figure("kept / recomputed, memory", peaks["kept"].megabytes / peaks["recomputed"].megabytes, "x"),
        Figure("recomputed / kept, time", peaks["recomputed"].seconds / peaks["kept"].seconds, "x"),
    ]
    return {"head over a large vocabulary": head, "gradient checkpointing": activations}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="appo bench train", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON per section")
    parser.add_argument("--quick", action="store_true", help="a tiny form, to see that it runs")
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sections = throughput(QUICK if arguments.quick else FULL, Ranks(0, 1, device))
    for title, figures in (sections | memory(quick=arguments.quick)).items():
        show(f"train: {title}", figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
