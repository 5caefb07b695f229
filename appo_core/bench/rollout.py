"""``python -m appo_core.bench.rollout``: the rollout loop, the prefix cache and weight updates on a real engine."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from appo_core.bench.model import LARGE, SMALL, TINY, make_model, questions
from appo_core.bench.overlap import PROMPT_TOKENS, Bench, against_lockstep, filling_the_engine
from appo_core.bench.reuse import prefix_reuse, weight_updates
from appo_core.bench.table import Figure, show
from appo_core.bench.turns import Work
from appo_core.config.model import TinyModel
from appo_core.config.rollout import EngineSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines import Engine, build_engine


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    model: TinyModel
    larger: TinyModel
    work: Work
    slots: int
    """Requests the engine runs at a time, and trajectories of the comparison with lock-step."""
    seeds: int
    batches: int
    """How many times more trajectories than slots, where a step has more than are in flight."""
    multiples: tuple[int, ...]
    rounds: int
    repeats: int
    origins: int
    scale: float = 1.0
    """Of the tools' latencies."""


FULL = Size(SMALL, LARGE, Work(4, 32), 64, 3, 4, (1, 2, 3), 3, 2, 32)
QUICK = Size(TINY, SMALL, Work(2, 6), 4, 1, 2, (1, 2), 6, 1, 3, scale=0.02)


@asynccontextmanager
async def engine_over(model: Path, slots: int, max_model_len: int) -> AsyncIterator[Engine]:
    """A vLLM engine with this many slots."""
    settings = EngineSettings(kind="vllm", max_in_flight=slots, kv_cache_mb=1024)
    engine = build_engine(settings, model, max_model_len=max_model_len)
    try:
        yield engine
    finally:
        await engine.close()


async def measure(size: Size, model: Path | None) -> AsyncIterator[tuple[str, list[Figure]]]:
    """Each section as it is done; `model` takes the place of the small model."""
    asked = questions(256)
    with tempfile.TemporaryDirectory(prefix="appo-bench-") as root:
        folder = model or Path(root) / "small"
        if model is None:
            make_model(folder, size.model)
        make_model(Path(root) / "larger", size.larger)
        codec, room = Codec.load(folder), PROMPT_TOKENS + size.work.response_tokens
        async with engine_over(folder, size.slots, room) as engine:
            bench = Bench(engine, codec, asked, size.work, size.slots, size.scale)
            await against_lockstep(replace(bench, scale=0.0), batches=1, seeds=1, goal="")  # to warm up
            title = f"{size.slots} trajectories of {size.work.turns} turns, all in flight"
            yield title, await against_lockstep(bench, batches=1, seeds=size.seeds, goal=">= 2")
            title = f"{size.slots * size.batches} trajectories of {size.work.turns} turns, {size.slots} in flight"
            yield title, await against_lockstep(bench, batches=size.batches, seeds=1, goal=">= 2")
            yield (
                "an engine kept full",
                await filling_the_engine(bench, multiples=size.multiples, rounds=size.rounds, repeats=size.repeats),
            )
            tokens = 4 * size.work.segment + 32
            reuse = await prefix_reuse(engine, codec, asked, folder, origins=size.origins, tokens=tokens)
            yield "prefix reuse", reuse
            updates = await weight_updates(engine, folder, "small", 5)
        async with engine_over(Path(root) / "larger", 2, 128) as engine:
            yield "weight updates", updates + await weight_updates(engine, Path(root) / "larger", "larger", 5)


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="appo bench rollout", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one line of JSON per section")
    parser.add_argument("--quick", action="store_true", help="a tiny form, to see that it runs")
    parser.add_argument("--model", type=Path, help="a Hugging Face model folder in place of the small seeded model")
    arguments = parser.parse_args(argv)

    async def report() -> None:
        async for title, figures in measure(QUICK if arguments.quick else FULL, arguments.model):
            show(f"rollout: {title}", figures, as_json=arguments.json)
            sys.stdout.flush()

    asyncio.run(report())


if __name__ == "__main__":
    main()
