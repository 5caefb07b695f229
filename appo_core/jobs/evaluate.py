"""The evaluation stage's work: k samples a question over HTTP, scored, with report, plot and samples.

Inputs: `model` (folder; its tokenizer), `benchmarks`, and `corpus` when the search tool needs one. Context: `base_url`
of the server (with `/v1`), `served_model`, `model_ref`. Writes `report.json`, `report.md`, `passk.png` and
`samples/<benchmark>.jsonl` under the output; keeps finished samples under the work folder.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from appo_core.config import EvaluateSettings
from appo_core.evaluation.aggregate import benchmark_report, build_report
from appo_core.evaluation.benchmarks import Question, load_benchmarks
from appo_core.evaluation.integrity import check_complete
from appo_core.evaluation.judge import Judge
from appo_core.evaluation.markdown import report_markdown
from appo_core.evaluation.plot import plot_report
from appo_core.evaluation.progress import Progress
from appo_core.evaluation.report import JudgeRecord, Report
from appo_core.evaluation.runner import EvaluationRunner, question_system_prompt
from appo_core.evaluation.samples import Sample, write_samples
from appo_core.evaluation.scoring import score_samples
from appo_core.evaluation.server import check_server
from appo_core.jobs.contract import Job, JobError, Reporter, run_job
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.http_engine import HttpEngine
from appo_core.tools import build_tools

Questions = Mapping[str, Sequence[Question]]
Samples = dict[str, list[Sample]]


def work(job: Job, reporter: Reporter) -> None:
    """Run the stage; raises `JobError`."""
    asyncio.run(_evaluate(job, reporter))


async def _evaluate(job: Job, reporter: Reporter) -> None:
    settings = EvaluateSettings.model_validate(job.settings)
    available = load_benchmarks(job.input("benchmarks"), settings.benchmarks)
    questions = {name: rows[: settings.max_questions] for name, rows in available.items()}
    for rows in questions.values():
        question_system_prompt(settings.prompt, rows[0])
    limits = settings.limits
    await check_server(
        _context(job, "base_url"), _context(job, "served_model"), limits.max_prompt_tokens + limits.max_response_tokens
    )
    judge = await _open_judge(settings, job.work)
    try:
        samples = await _sample(job, settings, questions, reporter)
        samples, record = await _score(questions, samples, judge, reporter)
    finally:
        if judge is not None:
            await judge.close()
    reports = [
        benchmark_report(rows, samples[name], available=len(available[name]), settings=settings)
        for name, rows in questions.items()
    ]
    report = build_report(
        reports,
        samples,
        settings=settings,
        model=_context(job, "model_ref"),
        served_model=_context(job, "served_model"),
        judge=record,
    )
    write_report(report, samples, job.output)
    reporter.result(**result_metrics(report))


async def _sample(job: Job, settings: EvaluateSettings, questions: Questions, reporter: Reporter) -> Samples:
    """All samples, complete or `JobError`."""
    codec = _load_codec(job.input("model"))
    engine = HttpEngine(
        _context(job, "base_url"),
        _context(job, "served_model"),
        codec=codec,
        concurrency=settings.concurrency,
        timeout_s=settings.sample_timeout_s,
    )
    tools = build_tools(settings.tools, job.inputs.get("corpus"))
    try:
        runner = EvaluationRunner(
            settings=settings,
            engine=engine,
            tools=tools,
            codec=codec,
            folder=job.work / "samples",
            model=f"{_context(job, 'model_ref')} {_context(job, 'served_model')}",
            progress=Progress(reporter),
        )
        samples = await runner.run(questions)
    finally:
        await engine.close()
        await asyncio.gather(*(tool.close() for tool in tools.values()))
    for name, rows in questions.items():
        check_complete(name, rows, samples[name], settings.samples)
    return samples


async def _score(
    questions: Questions, samples: Samples, judge: Judge | None, reporter: Reporter
) -> tuple[Samples, JudgeRecord | None]:
    """Verdicts by rule, then by the judge where there is one."""
    reporter.log(f"scoring {sum(map(len, samples.values()))} samples")
    scored = {name: await asyncio.to_thread(score_samples, questions[name], rows) for name, rows in samples.items()}
    if judge is None:
        return scored, None
    return {name: await judge.review(questions[name], rows) for name, rows in scored.items()}, judge.record


async def _open_judge(settings: EvaluateSettings, folder: Path) -> Judge | None:
    """The judge, known to be there before any sample is made."""
    if settings.judge is None:
        return None
    judge = Judge(settings.judge, folder / "judge.jsonl")
    await judge.identify()
    return judge


def write_report(report: Report, samples: Samples, output: Path) -> None:
    """Write the layout of an `eval-report` artifact."""
    (output / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (output / "report.md").write_text(report_markdown(report), encoding="utf-8")
    plot_report(report, output / "passk.png")
    for name, rows in samples.items():
        write_samples(output / "samples" / f"{name}.jsonl", rows)


def result_metrics(report: Report) -> dict[str, float | int | None]:
    """The job's summary."""
    per_benchmark = {f"pass@1/{benchmark.name}": benchmark.pass_at[1].value for benchmark in report.benchmarks}
    highest = {f"pass@{report.k}": report.overall.pass_at[report.k].value}
    return {"pass@1": report.overall.pass_at[1].value, **highest, **per_benchmark, "samples": report.overall.samples}


def _load_codec(folder: Path) -> Codec:
    try:
        return Codec.load(folder)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise JobError(
            f"input 'model': {reason}", remedy="give a Hugging Face model folder with its tokenizer"
        ) from error


def _context(job: Job, name: str) -> str:
    """A text of the job's context; raises `JobError` when it is missing."""
    value = job.context.get(name)
    if not isinstance(value, str) or not value:
        raise JobError(f"job context '{name}' is missing", remedy=f"name '{name}' in the job's context")
    return value


if __name__ == "__main__":
    run_job(work)
