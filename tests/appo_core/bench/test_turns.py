"""The work of rollout benchmarks: what its latencies are, and that both loops do the same."""

import statistics
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appo_core.bench.lockstep import run_lockstep
from appo_core.bench.model import TINY, make_model, questions
from appo_core.bench.overlap import Bench, waits_alone
from appo_core.bench.turns import MEDIAN_S, P99_S, SlowTool, Work, latency, starts
from appo_core.config.rollout import EngineSettings, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines import Engine, build_engine

WORK = Work(turns=3, segment=5, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_model(folder, TINY)
    return folder


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[Engine]:
    engine = build_engine(EngineSettings(kind="transformers", max_in_flight=4), folder, max_model_len=600)
    yield engine
    await engine.close()


def test_latencies_have_the_median_and_the_tail_they_are_named_for() -> None:
    drawn = [latency(str(number)) for number in range(20_000)]
    assert statistics.median(drawn) == pytest.approx(MEDIAN_S, rel=0.05)
    assert statistics.quantiles(drawn, n=100)[98] == pytest.approx(P99_S, rel=0.15)
    assert latency("7") == latency("7") != latency("8")


async def test_both_loops_do_the_same_work(engine: Engine, folder: Path) -> None:
    bench = Bench(engine, Codec.load(folder), questions(4), WORK, slots=4, scale=0.001)
    todo = starts(bench.codec, bench.questions, 4)
    first, second = bench.engine_for(todo), bench.engine_for(todo)
    done = await bench.runner(first, 4).run(todo)
    tool = SlowTool(0.001)
    lockstep = await run_lockstep(
        todo,
        engine=second,
        tools={tool.name: tool},
        codec=bench.codec,
        limits=bench.limits(),
        sampling=SamplingSettings(),
        seed=WORK.seed,
    )
    assert [one.response_ids for one in lockstep] == [one.response_ids for one in done]
    assert [one.mask for one in lockstep] == [one.mask for one in done]
    assert first.tokens == second.tokens > 0
    for one in done:
        assert [call.failure for call in one.tool_calls] == [None, None]
        assert one.failure is None
        assert len({call.argument for call in one.tool_calls}) == 2


def test_waits_alone_are_those_of_places_and_of_rounds(engine: Engine, folder: Path) -> None:
    bench = Bench(engine, Codec.load(folder), questions(4), WORK, slots=2)
    todo = starts(bench.codec, bench.questions, 4)
    made = bench.engine_for(todo)
    seeds = list(made.turn_of)
    waits = [[latency(str(seed)) for seed in seeds[first : first + 2]] for first in range(0, 12, 3)]
    free, busy = waits_alone(bench, todo)
    first, second, third, fourth = map(sum, waits)
    early, late = sorted((first, second))
    assert free == pytest.approx(max(early + third, late, min(early + third, late) + fourth))
    assert busy == pytest.approx(sum(max(a, b) for pair in (waits[:2], waits[2:]) for a, b in zip(*pair, strict=True)))
