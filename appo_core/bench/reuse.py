"""What branches take from the prefix cache, and what new weights cost the engine."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from appo_core.bench.table import Figure
from appo_core.bench.turns import starts
from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine
from appo_core.rollout.runner import RolloutRunner
from appo_core.rollout.types import Trajectory

CPU_BLOCK, GPU_BLOCK = 32, 16
"""Tokens per block of vLLM's cache; only whole blocks are reused."""


def branches(origins: Sequence[Trajectory], each: int) -> list[Trajectory]:
    """`each` branches of every origin, at seeded points that leave room."""
    rng = random.Random(1)
    return [
        origin.branch(f"{origin.uid}/b{number}", rng.randrange(len(origin) - 8), 1.0)
        for origin in origins
        if len(origin) > 16
        for number in range(each)
    ]


def block_tokens() -> int:
    """Block size that the engine uses on this machine."""
    import torch

    return GPU_BLOCK if torch.cuda.is_available() else CPU_BLOCK


def cached_share(grown: Sequence[Trajectory], begun: Sequence[Trajectory]) -> tuple[float, float]:
    """Cached tokens of the branches over those in whole blocks of their prompts, and over all of their prompts.

    The engine computes at least the last token, so a block that ends with it does not count as whole.
    """
    block = block_tokens()
    lengths = [len(start.prompt_ids) + len(start) for start in begun]
    cached = sum(one.cached_tokens for one in grown)
    return cached / sum((length - 1) // block * block for length in lengths), cached / sum(lengths)


async def prefix_reuse(
    engine: Engine, codec: Codec, questions: Sequence[str], model: Path, *, origins: int, tokens: int
) -> list[Figure]:
    """Branches off finished rollouts, straight behind them and again behind an update of the weights."""
    limits = LoopLimits(max_prompt_tokens=512, max_response_tokens=tokens, call_limit=0)
    runner = RolloutRunner(
        engine=engine, tools={}, codec=codec, limits=limits, sampling=SamplingSettings(), max_in_flight=256, seed=0
    )
    begun = branches(await runner.run(starts(codec, questions, origins, "origin-")), 4)
    whole, share = cached_share(await runner.run(begun), begun)
    await engine.update_weights(load_weights(model).items(), 1)
    behind, _ = cached_share(await runner.run(begun), begun)
    return [
        Figure("branches", len(begun), "trajectories"),
        Figure("cached / whole blocks of their prefixes", whole, "of 1", "~ 1"),
        Figure("cached / all tokens of their prefixes", share, "of 1"),
        Figure("cached / whole blocks, behind new weights", behind, "of 1"),
    ]


async def weight_updates(engine: Engine, model: Path, label: str, repeats: int) -> list[Figure]:
    """Milliseconds per million parameters to replace the engine's weights; the median of `repeats`."""
    weights = load_weights(model)
    millions = sum(tensor.numel() for tensor in weights.values()) / 1e6
    seconds = []
    for number in range(repeats + 1):
        began = time.perf_counter()
        await engine.update_weights(weights.items(), 100 + number)
        seconds.append(time.perf_counter() - began)
    # The first one opens files and warms caches.
    return [
        Figure(f"{label} model", millions, "million parameters"),
        Figure(f"{label} model: weight update", 1000 * median(seconds[1:]) / millions, "ms per million parameters"),
    ]


def load_weights(model: Path) -> dict[str, Any]:
    """The weights of a model folder, by name."""
    from safetensors.torch import load_file

    return {name: tensor for path in sorted(model.glob("*.safetensors")) for name, tensor in load_file(path).items()}
