import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from appo_core.config import EvaluateSettings
from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.progress import Progress
from appo_core.evaluation.runner import MAX_REFUSED, EvaluationRunner, question_system_prompt
from appo_core.jobs.contract import EXIT_TRANSIENT, JobError
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import EngineError, Generation, SamplingParams
from appo_core.tools.base import ToolOutcome

QUESTIONS = {
    "hotpotqa": [
        Question("hotpotqa", str(number), f"question {number}", (f"gold {number}",), "qa") for number in range(6)
    ],
    "gsm8k": [Question("gsm8k", str(number), f"sum {number}", (str(number),), "math") for number in range(4)],
}


class TextEngine:
    """Answers with a text made from the decoded prompt; remembers how many requests ran at once."""

    def __init__(self, codec: Codec, answer: Callable[[str], str], delay_s: float = 0.0) -> None:
        self.codec, self.answer, self.delay_s = codec, answer, delay_s
        self.seeds: list[int | None] = []
        self.running = self.most = 0

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        self.seeds.append(sampling.seed)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay_s)
            text = self.answer(self.codec.decode(prompt_ids))
        finally:
            self.running -= 1
        stopped = next((stop for stop in sampling.stop if text.endswith(stop)), None)
        ids = self.codec.encode(text) + ([] if stopped else [self.codec.eos_id])
        return Generation(ids, [0.0] * len(ids), "stop" if stopped else "eos", stopped)

    async def update_weights(self, weights: Any, version: int) -> None:
        raise EngineError("fixed")

    async def close(self) -> None:
        return


class EchoTool:
    name = "search"

    async def call(self, argument: str) -> ToolOutcome:
        return ToolOutcome(f"found {argument}")

    async def close(self) -> None:
        return


@pytest.fixture
def codec(tokenizer_folder: Path) -> Codec:
    return Codec.load(tokenizer_folder)


@pytest.fixture
def make_runner(codec: Codec, tmp_path: Path, events):
    def make(engine: Any, tools: dict | None = None, model: str = "m", **changes: Any) -> EvaluationRunner:
        settings = EvaluateSettings(**{"samples": 3, "concurrency": 5, "prompt": {"system": "demo"}} | changes)
        return EvaluationRunner(
            settings=settings, engine=engine, tools=tools or {}, codec=codec, folder=tmp_path / "samples", model=model,
            progress=Progress(events),
        )  # fmt: skip

    return make


async def test_every_question_gets_k_samples_with_seeds_of_their_own(codec, make_runner, boxed, events):
    engine = TextEngine(codec, lambda prompt: boxed("x"), delay_s=0.002)
    samples = await make_runner(engine).run(QUESTIONS)
    assert [sample.key for sample in samples["hotpotqa"]] == [(str(q), n) for q in range(6) for n in range(3)]
    assert len(samples["gsm8k"]) == 12
    assert {sample.prediction for sample in samples["gsm8k"]} == {"x"}
    assert len(set(engine.seeds)) == 30
    assert 1 < engine.most <= 5
    assert events.progresses[-1] == (30, 30)


async def test_seeds_do_not_depend_on_order_or_concurrency(codec, make_runner, boxed, tmp_path):
    one, two = (TextEngine(codec, lambda prompt: boxed("x")) for _ in range(2))
    await make_runner(one, concurrency=1, model="a").run(QUESTIONS)
    await make_runner(two, concurrency=30, model="b").run(QUESTIONS)
    assert sorted(one.seeds) == sorted(two.seeds)


async def test_finished_samples_are_not_repeated_and_more_can_be_added(codec, make_runner, boxed):
    engine = TextEngine(codec, lambda prompt: boxed("x"))
    first = await make_runner(engine, samples=2).run(QUESTIONS)
    assert len(engine.seeds) == 20
    second = await make_runner(engine, samples=3).run(QUESTIONS)
    assert len(engine.seeds) == 30
    assert second["gsm8k"][0] == first["gsm8k"][0]


@pytest.mark.parametrize("change", [{"seed": 5}, {"model": "other"}, {"sampling": {"temperature": 0.0}}])
async def test_other_settings_start_afresh(codec, make_runner, boxed, change):
    engine = TextEngine(codec, lambda prompt: boxed("x"))
    await make_runner(engine).run(QUESTIONS)
    await make_runner(engine, **change).run(QUESTIONS)
    assert len(engine.seeds) == 60


async def test_running_out_of_time_is_an_outcome(codec, make_runner, boxed):
    engine = TextEngine(codec, lambda prompt: boxed("x"), delay_s=30)
    samples = await make_runner(engine, samples=1, sample_timeout_s=0.05, concurrency=10).run(QUESTIONS)
    outcomes = {(sample.finish, sample.failure, sample.prediction) for rows in samples.values() for sample in rows}
    assert outcomes == {("timeout", "not finished after 0.05 s", "")}


async def test_a_prompt_that_is_too_long_is_an_outcome(codec, make_runner, boxed):
    engine = TextEngine(codec, lambda prompt: boxed("x"))
    limits = {"max_prompt_tokens": 10, "max_response_tokens": 100}
    samples = await make_runner(engine, samples=1, limits=limits).run(QUESTIONS)
    assert samples["gsm8k"][0].finish == "failed"
    assert "max_prompt_tokens" in (samples["gsm8k"][0].failure or "")


async def test_a_dead_server_stops_the_run_and_keeps_what_is_done(codec, make_runner, boxed, monkeypatch):
    monkeypatch.setattr("appo_core.rollout.loop.BACKOFF_S", 0.0)
    left = 7

    def answer(prompt: str) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise EngineError("connection refused")
        return boxed("x")

    with pytest.raises(JobError, match="engine: connection refused; 7 finished samples are kept") as error:
        await make_runner(TextEngine(codec, answer), concurrency=1).run(QUESTIONS)
    assert error.value.exit_code == EXIT_TRANSIENT
    engine = TextEngine(codec, lambda prompt: boxed("x"))
    await make_runner(engine, concurrency=1).run(QUESTIONS)
    assert len(engine.seeds) == 30 - 7


async def test_one_refused_prompt_does_not_stop_the_run(codec, make_runner, boxed, monkeypatch):
    monkeypatch.setattr("appo_core.rollout.loop.BACKOFF_S", 0.0)

    def answer(prompt: str) -> str:
        if "question 3" in prompt:
            raise EngineError("HTTP 400: too long")
        return boxed("x")

    samples = await make_runner(TextEngine(codec, answer), samples=2).run(QUESTIONS)
    assert MAX_REFUSED > 2
    assert [sample.id for sample in samples["hotpotqa"] if sample.finish == "failed"] == ["3", "3"]


async def test_tool_calls_are_recorded_and_do_not_count_as_the_models_words(codec, make_runner, boxed):
    def answer(prompt: str) -> str:
        called = "</result>" in prompt
        return boxed("found") if called else "<think> look </think> <search> <answer>\\boxed{no}</answer> </search>"

    runner = make_runner(TextEngine(codec, answer), {"search": EchoTool()}, samples=1, prompt={"system": "base"})
    sample = (await runner.run(QUESTIONS))["gsm8k"][0]
    assert [(call.tool, call.refused) for call in sample.tool_calls] == [("search", False)]
    assert sample.tool_calls[0].output.startswith("found")
    assert sample.generated_tokens < sample.response_tokens


def test_system_prompt_follows_the_language_of_the_benchmark():
    chinese = Question("xbench", "0", "问", ("a",), "qa")
    english = QUESTIONS["hotpotqa"][0]
    prompt = EvaluateSettings().prompt
    assert "工具" in question_system_prompt(prompt, chinese)
    assert "tools" in question_system_prompt(prompt, english)
    with pytest.raises(JobError, match=r"evaluate\.prompt\.system"):
        question_system_prompt(prompt.model_copy(update={"system": "nope"}), english)


@pytest.mark.parametrize("cause", ["ReadTimeout", "HTTP 500"])
async def test_a_server_that_dies_at_the_very_end_makes_no_wrong_answers(codec, make_runner, boxed, monkeypatch, cause):
    monkeypatch.setattr("appo_core.rollout.loop.BACKOFF_S", 0.0)

    def answer(prompt: str) -> str:
        if "sum 3" in prompt:
            raise EngineError(cause)
        return boxed("x")

    with pytest.raises(JobError, match=f"engine: {cause}"):
        await make_runner(TextEngine(codec, answer), samples=2).run(QUESTIONS)
    samples = await make_runner(TextEngine(codec, lambda prompt: boxed("x")), samples=2).run(QUESTIONS)
    assert {sample.finish for rows in samples.values() for sample in rows} == {"eos"}


async def test_an_unusable_tool_stops_the_run(codec, make_runner):
    class Broken(EchoTool):
        async def call(self, argument: str) -> ToolOutcome:
            raise RuntimeError("sandbox gone")

    engine = TextEngine(codec, lambda prompt: "<search> x </search>")
    with pytest.raises(JobError, match="tool search: RuntimeError: sandbox gone"):
        await make_runner(engine, {"search": Broken()}, prompt={"system": "base"}).run(QUESTIONS)
