"""Speed and memory of the algorithm's functions: ``python -m appo_core.bench.algorithm [--json]``.

Every ratio compares two times of one run, taken in turns, each the best of several. One thread, whose processor time
is taken so that other work on the machine disturbs less; with ``--threads`` above 1, wall time.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from appo_core.algorithm import branching_score, discounted_future_sum, future_value, policy_loss, select_branch_points
from appo_core.bench import published
from appo_core.bench.measure import best_times, peak_bytes
from appo_core.bench.table import Figure, show
from appo_core.config.algorithm import LossSettings

GAMMA, CLIP, MIN_DISTANCE = 0.99, 0.2, 4
Arrays = dict[str, Tensor]


def rollouts(rows: int, length: int, *, injected: int = 3) -> Arrays:
    """Made-up rollouts: rows of half to full length, each with `injected` tool results of 50 to 400 tokens."""
    torch.manual_seed(0)
    mask_BL = torch.ones(rows, length, dtype=torch.bool)
    for row in mask_BL:
        end = int(torch.randint(length // 2, length + 1, ()))
        row[end:] = False
        for _ in range(injected):
            start = int(torch.randint(0, end, ()))
            row[start : start + int(torch.randint(50, 401, ()))] = False
    logp_BL = -torch.rand(rows, length)
    return {
        "entropy": torch.rand(rows, length),
        "now": logp_BL + 0.01 * torch.randn(rows, length),
        "behaviour": logp_BL,
        "mask": mask_BL,
        "advantage": torch.randn(rows, 1).expand(rows, length).contiguous(),
    }


def choose(arrays: Arrays, per: Any = "rollout") -> None:
    """What a step does to find branch points: future value, score, selection."""
    omega_BL = future_value(arrays["now"], arrays["behaviour"], arrays["mask"], gamma=GAMMA, clip=CLIP)
    score_BL, candidate_BL = branching_score(arrays["entropy"], omega_BL, arrays["mask"])
    group_B = torch.arange(len(score_BL)) // 16
    select_branch_points(score_BL, candidate_BL, group_B, budget=16, per=per, min_distance=MIN_DISTANCE)


def read(arrays: Arrays) -> None:
    """The inputs of `choose`, read once: sums; the mask's bytes in words, the fastest way torch has."""
    for name in ("entropy", "now", "behaviour"):
        arrays[name].sum()
    arrays["mask"].view(torch.int64).sum()


def update(arrays: Arrays, loss: Callable[..., Tensor]) -> None:
    """Forward and backward of a policy loss."""
    logp_BL = arrays["now"].clone().requires_grad_()
    loss(logp_BL, arrays["behaviour"], arrays["advantage"], arrays["mask"]).backward()


def loss_sum(logp_BL: Tensor, old_BL: Tensor, advantage_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """This project's loss with the settings of the published scripts."""
    return policy_loss(logp_BL, old_BL, advantage_BL, mask_BL, LossSettings()).loss_sum


def branching_figures(rows: int, length: int, repeat: int) -> list[Figure]:
    """Branch points of `rows` rollouts against reading their inputs and against the L x L formulation."""
    arrays, tokens = rollouts(rows, length), rows * length
    two = {name: values[:2] for name, values in arrays.items()}
    ours, reading, pooled = best_times(
        [lambda: choose(arrays), lambda: read(arrays), lambda: choose(arrays, "prompt")], repeat
    )
    (square,) = best_times([lambda: published.branching_scores(two, GAMMA, CLIP)], 2)
    scattered = {**arrays, "mask": torch.rand(rows, length) < 0.9}
    (worst,) = best_times([lambda: choose(scattered)], 2)
    peak = peak_bytes(lambda: choose(arrays))
    return [
        Figure(f"branch points of {rows} x {length}", ours * 1e3, "ms"),
        Figure("  per token", ours / tokens * 1e9, "ns"),
        Figure("  against reading the inputs once", ours / reading, "x the time", "<= 10"),
        Figure("  against L x L (2 rows, scaled)", square / 2 * rows / ours, "x faster", ">= 1000"),
        Figure("  peak memory over the inputs", peak / tokens, "bytes per token"),
        Figure("  selection per prompt instead", pooled / tokens * 1e9, "ns per token"),
        Figure("  every tenth token injected at random", worst / tokens * 1e9, "ns per token"),
    ]


def loss_figures(rows: int, length: int, repeat: int) -> list[Figure]:
    """The future-KL loss, forward and backward, against column blocks of an L x L matrix."""
    arrays = rollouts(rows, length)
    (ours,) = best_times([partial(update, arrays, loss_sum)], repeat * 5)
    (blocks,) = best_times([partial(update, arrays, published.future_kl_loss)], 2)
    (again,) = best_times([partial(update, arrays, loss_sum)], repeat * 5)
    ours = min(ours, again)
    # So many rows that every tensor is given back to the kernel, and none is hidden in memory used before.
    many, tokens = rollouts(16 * rows, length), 16 * rows * length
    peaks = [peak_bytes(partial(update, many, loss)) / tokens for loss in (loss_sum, published.future_kl_loss)]
    return [
        Figure(f"loss and gradient of {rows} x {length}", ours * 1e3, "ms"),
        Figure("  against L x 128 blocks", blocks / ours, "x faster", ">= 100"),
        Figure("  peak memory over the inputs", peaks[0], "bytes per token"),
        Figure("  peak memory of L x 128 blocks", peaks[1], "bytes per token"),
    ]


def growth_figures(tokens: int, repeat: int) -> list[Figure]:
    """Time per token of short and of long rows; the same number of tokens in each."""
    short, long = (rollouts(tokens // length, length, injected=length // 1024) for length in (1024, 16384))

    def scan(arrays: Arrays) -> None:
        discounted_future_sum(arrays["now"], arrays["mask"], GAMMA)

    figures = []
    tasks: dict[str, Callable[[Arrays], None]] = {
        "branch points": choose,
        "discounted sum": scan,
        "loss": lambda arrays: update(arrays, loss_sum),
    }
    for name, task in tasks.items():
        first, second = best_times([partial(task, short), partial(task, long)], repeat)
        figures.append(Figure(f"{name}: time per token, L 16384 over 1024", second / first, "(1 is linear)"))
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    parser.add_argument("--rows", type=int, default=2048, help="rollouts of the large batch (128 prompts x 16)")
    parser.add_argument("--length", type=int, default=8192, help="tokens of a rollout")
    parser.add_argument("--repeat", type=int, default=7, help="takes of every time; the best counts")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    figures = branching_figures(chosen.rows, chosen.length, chosen.repeat)
    figures += loss_figures(16, chosen.length, chosen.repeat)
    figures += growth_figures(chosen.rows * chosen.length // 8, chosen.repeat)
    show("The algorithm on CPU tensors, float32", figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
