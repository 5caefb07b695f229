"""Samples of all questions through one tool loop, each (question, sample) its own coroutine.

All benchmarks share one queue, so the slow end of one overlaps with the start of the next. At most `concurrency`
coroutines exist at a time. Finished samples are on disk at once and are not repeated after an interruption.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from appo_core.config import EvaluateSettings
from appo_core.config.rollout import PromptSettings
from appo_core.evaluation.benchmarks import REGISTRY, Question
from appo_core.evaluation.progress import Progress
from appo_core.evaluation.samples import Call, Key, Sample, SampleLog, digest_input
from appo_core.jobs.contract import EXIT_TRANSIENT, JobError
from appo_core.rewards import extract_answer
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine
from appo_core.rollout.loop import run_trajectory
from appo_core.rollout.prompts import SYSTEM_PROMPTS, system_prompt
from appo_core.rollout.runner import trajectory_seed
from appo_core.rollout.types import Finish, Trajectory
from appo_core.tools.base import Tool

Questions = Mapping[str, Sequence[Question]]
MAX_REFUSED = 8
"""So many samples in a row that the engine could not serve mean that the server is gone, not that a prompt is bad."""
REFUSAL = "HTTP 4"
"""In the cause of a request that the server understood and would not serve, now or later."""


@dataclass(frozen=True)
class Work:
    """One sample still to be made."""

    question: Question
    sample: int

    @property
    def uid(self) -> str:
        """Names the sample in all benchmarks; its seed comes from it."""
        return f"{self.question.benchmark}/{self.question.id}/{self.sample}"


class EvaluationRunner:
    """Makes the samples of an evaluation."""

    def __init__(
        self,
        *,
        settings: EvaluateSettings,
        engine: Engine,
        tools: Mapping[str, Tool],
        codec: Codec,
        folder: Path,
        model: str,
        progress: Progress,
    ) -> None:
        self.settings, self.engine, self.tools, self.codec = settings, engine, tools, codec
        self.folder, self.model, self.progress = folder, model, progress
        self._logs: dict[str, SampleLog] = {}
        self._refused_in_a_row = 0
        self._again: list[Work] = []
        """Samples that the engine could not serve; tried once more at the end."""
        self._prompt_ids = lru_cache(maxsize=2 * settings.concurrency)(self._encode)

    async def run(self, questions: Questions) -> dict[str, list[Sample]]:
        """All samples per benchmark, in the order of the questions; raises `JobError` when it cannot go on."""
        done = {name: self._open(name, rows) for name, rows in questions.items()}
        queue = self._queue(questions, done)
        total = sum(map(len, questions.values())) * self.settings.samples
        self.progress.start(total, resumed=sum(map(len, done.values())))
        try:
            await self._drain(queue, done)
            await self._drain(iter(self._again), done, last_try=True)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            for log in self._logs.values():
                log.close()
        return {name: _ordered(rows, done[name], self.settings.samples) for name, rows in questions.items()}

    def _open(self, name: str, questions: Sequence[Question]) -> dict[Key, Sample]:
        """Open a benchmark's log and read what an interrupted run left, apart from samples no longer asked for."""
        self._logs[name] = SampleLog(
            self.folder / sample_folder(self.settings, self.model, questions) / f"{name}.jsonl"
        )
        wanted = {question.id for question in questions}
        finished = self._logs[name].finished()
        return {key: s for key, s in finished.items() if key[0] in wanted and key[1] < self.settings.samples}

    def _queue(self, questions: Questions, done: Mapping[str, Mapping[Key, Sample]]) -> Iterator[Work]:
        """What is still to be made, drawn lazily. A question's samples follow one another: its prefix is cached."""
        for name, rows in questions.items():
            for question in rows:
                for sample in range(self.settings.samples):
                    if (question.id, sample) not in done[name]:
                        yield Work(question, sample)

    async def _drain(
        self, queue: Iterator[Work], done: Mapping[str, dict[Key, Sample]], *, last_try: bool = False
    ) -> None:
        """Work the queue off with `concurrency` coroutines."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings.concurrency):
                group.create_task(self._work(queue, done, last_try))

    async def _work(self, queue: Iterator[Work], done: Mapping[str, dict[Key, Sample]], last_try: bool) -> None:
        for work in queue:
            sample = await self._sample(work)
            if self._unserved(sample, last_try):
                self._again.append(work)
                continue
            self._logs[work.question.benchmark].append(sample)
            done[work.question.benchmark][sample.key] = sample
            self.progress.finished(REGISTRY[work.question.benchmark].display_name, sample)

    def _unserved(self, sample: Sample, last_try: bool) -> bool:
        """Whether the engine could not serve the sample and it should be tried again.

        Raises `JobError` when a tool is unusable or the server has gone: figures made without them would be false.
        """
        cause = sample.failure or ""
        infrastructure = sample.finish == Finish.FAILED and cause.startswith(("engine:", "tool "))
        self._refused_in_a_row = self._refused_in_a_row + 1 if infrastructure else 0
        if not infrastructure or (last_try and REFUSAL in cause):
            return False
        if last_try or cause.startswith("tool ") or self._refused_in_a_row >= MAX_REFUSED:
            raise JobError(
                f"sampling stopped, {cause}; {self.progress.done} finished samples are kept",
                remedy="bring the server or tool back and run again: it goes on where it stopped",
                exit_code=EXIT_TRANSIENT,
            )
        return True

    async def _sample(self, work: Work) -> Sample:
        """One sample; running out of time is an outcome."""
        seed = trajectory_seed(self.settings.seed, work.uid)
        start = Trajectory(uid=work.uid, group=work.question.id, prompt_ids=self._prompt_ids(work.question))
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self.settings.sample_timeout_s):
                trajectory = await self._trajectory(start, seed)
            finish = trajectory.finish.value
        except TimeoutError:
            trajectory, finish = start, "timeout"
            trajectory.failure = f"not finished after {self.settings.sample_timeout_s:g} s"
        return self._record(work, seed, trajectory, finish, time.perf_counter() - began)

    async def _trajectory(self, start: Trajectory, seed: int) -> Trajectory:
        return await run_trajectory(
            start,
            engine=self.engine,
            tools=self.tools,
            codec=self.codec,
            limits=self.settings.limits,
            sampling=self.settings.sampling,
            seed=seed,
        )

    def _encode(self, question: Question) -> list[int]:
        return self.codec.prompt_ids(question_system_prompt(self.settings.prompt, question), question.text)

    def _record(self, work: Work, seed: int, trajectory: Trajectory, finish: str, seconds: float) -> Sample:
        response = self.codec.decode(trajectory.response_ids)
        return Sample(
            id=work.question.id,
            sample=work.sample,
            seed=seed,
            response=response,
            prediction=extract_answer(response) or "",
            finish=finish,
            failure=trajectory.failure,
            tool_calls=tuple(
                Call(tool=c.tool, argument=c.argument, output=c.output, failure=c.failure, refused=c.refused,
                     seconds=round(c.seconds, 3))
                for c in trajectory.tool_calls
            ),
            response_tokens=len(trajectory),
            generated_tokens=sum(trajectory.mask),
            seconds=round(seconds, 3),
        )  # fmt: skip


def question_system_prompt(settings: PromptSettings, question: Question) -> str:
    """The system prompt: on a Chinese benchmark the Chinese version of it, where there is one."""
    chinese = f"{settings.system}_cn"
    if REGISTRY[question.benchmark].language == "zh" and chinese in SYSTEM_PROMPTS:
        return SYSTEM_PROMPTS[chinese]
    try:
        return system_prompt(settings, None)
    except ValueError as error:
        raise JobError(f"evaluate.{error}", remedy="name a built-in prompt in evaluate.prompt.system") from error


def sample_folder(settings: EvaluateSettings, model: str, questions: Sequence[Question]) -> str:
    """Folder name of samples that may be mixed: same model, questions, prompt, sampling, limits, tools and seed."""
    keys = {"sampling", "prompt", "limits", "tools", "sample_timeout_s", "seed"}
    value = {
        "model": model,
        "settings": settings.model_dump(mode="json", include=keys),
        "questions": [(question.id, question.text) for question in questions],
    }
    return sha256(digest_input(value).encode()).hexdigest()[:16]


def _ordered(questions: Sequence[Question], samples: Mapping[Key, Sample], k: int) -> list[Sample]:
    keys = ((question.id, number) for question in questions for number in range(k))
    return [samples[key] for key in keys if key in samples]
