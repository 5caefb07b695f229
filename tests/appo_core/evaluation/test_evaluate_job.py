import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appo_core.config import EvaluateSettings
from appo_core.evaluation.benchmarks import REGISTRY, load_benchmarks
from appo_core.evaluation.report import read_report
from appo_core.evaluation.samples import read_samples
from appo_core.jobs.contract import EXIT_TRANSIENT, Job, JobError
from appo_core.jobs.evaluate import work

NO_TOOLS = {"python": {"enabled": False}, "search": {"enabled": False}}
LIMITS = {"max_prompt_tokens": 20000, "max_response_tokens": 4000}
HENDRYCKS = [
    {"problem": "What is $1/\\sqrt{2}$?", "level": "Level 1", "solution": "$\\boxed{\\frac{\\sqrt{2}}{2}}$"},
    {"problem": "What is $2^{10}$?", "level": "Level 2", "type": "Algebra", "solution": "So \\[\\boxed{1{,}024}.\\]"},
]  # fmt: skip


@pytest.fixture
def make_job(tmp_path: Path, tokenizer_folder: Path) -> Callable[..., Job]:
    def make(base_url: str, files: Path, **changes: Any) -> Job:
        settings = EvaluateSettings(
            **{"samples": 2, "max_questions": 3, "concurrency": 16, "tools": NO_TOOLS, "prompt": {"system": "base"},
               "limits": LIMITS} | changes
        )  # fmt: skip
        job = Job(
            settings=settings.model_dump(mode="json"),
            inputs={"model": tokenizer_folder, "benchmarks": files},
            output=tmp_path / "out",
            work=tmp_path / "work",
            context={"base_url": base_url, "served_model": "demo@v1", "model_ref": "model/demo@1"},
        )
        job.output.mkdir(exist_ok=True)
        job.work.mkdir(exist_ok=True)
        return job

    return make


@pytest.fixture
def all_benchmarks(shared: Path, tmp_path: Path, write_rows) -> Path:
    """The real files, and rows in MATH's published format."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for path in (shared / "data" / "benchmarks").glob("*.jsonl.gz"):
        (folder / path.name).symlink_to(path)
    write_rows(folder / "math" / "test.jsonl", HENDRYCKS)
    return folder


def gold_answers(folder: Path) -> dict[str, str]:
    """Question -> its first accepted answer."""
    questions = load_benchmarks(folder, REGISTRY)
    return {question.text: question.golds[0] for rows in questions.values() for question in rows}


@pytest.mark.slow
def test_golds_score_100_percent_on_every_benchmark(serve, make_job, all_benchmarks, boxed, events):
    golds = gold_answers(all_benchmarks)
    with serve(lambda question: boxed(golds[question])) as server:
        job = make_job(server.base_url, all_benchmarks, benchmarks=tuple(REGISTRY))
        work(job, events)
        assert len(server.requests) == 2 * (3 * 13 + 2)
    report = read_report(job.output / "report.json")
    assert {b.name: b.pass_at[1].value for b in report.benchmarks} == dict.fromkeys(REGISTRY, 1.0)
    assert report.overall.pass_at[2].value == 1.0
    assert report.overall.f1 is not None
    assert report.overall.f1.value == 1.0
    assert [len(read_samples(job.output / "samples" / f"{name}.jsonl")) for name in ("math", "gaia")] == [4, 6]
    assert events.results[-1]["pass@1"] == 1.0
    assert events.results[-1]["samples"] == 82
    assert "CUT" in (job.output / "report.md").read_text()
    assert (job.output / "passk.png").stat().st_size > 10_000
    assert {len(request["prompt"]) > 0 and request["max_tokens"] for request in server.requests} == {4000}


@pytest.mark.slow
def test_wrong_answers_score_0_percent_on_every_benchmark(serve, make_job, all_benchmarks, boxed, events):
    with serve(lambda question: boxed("987654321.5 unlikely")) as server:
        job = make_job(server.base_url, all_benchmarks, benchmarks=tuple(REGISTRY))
        work(job, events)
    report = read_report(job.output / "report.json")
    assert {b.name: b.pass_at[2].value for b in report.benchmarks} == dict.fromkeys(REGISTRY, 0.0)
    assert report.overall.samples == 82


def test_half_right_answers_give_unbiased_figures(serve, make_job, tmp_path, write_rows, boxed, events):
    rows = [{"question": f"q{i}", "answer": [f"answer {i}"]} for i in range(4)]
    write_rows(tmp_path / "benchmarks" / "hotpotqa.jsonl", rows)
    turns: dict[str, int] = {}

    def answer(question: str) -> str:
        turns[question] = turns.get(question, 0) + 1
        return boxed(f"answer {question[1:]}" if turns[question] <= int(question[1:]) else "none")

    with serve(answer) as server:
        job = make_job(
            server.base_url, tmp_path / "benchmarks", benchmarks=("hotpotqa",), samples=4, max_questions=None
        )
        work(job, events)
    figures = read_report(job.output / "report.json").benchmarks[0].pass_at
    assert [figures[k].value for k in (1, 2, 3, 4)] == pytest.approx([6 / 16, 14 / 24, 11 / 16, 3 / 4])


def test_tools_work_over_http(serve, make_job, tmp_path, write_rows, boxed, events):
    write_rows(tmp_path / "b" / "hotpotqa.jsonl", [{"question": "q", "answer": "Sylvania 391"}])
    documents = [{"id": "1", "title": "Freedonia", "text": "The capital of Freedonia is Sylvania."}]
    corpus = write_rows(tmp_path / "corpus" / "corpus.jsonl", documents).parent
    turns = [
        "<think> look it up </think> <search> capital of Freedonia </search>",
        "<think> compute </think> <python> print(17 * 23) </python>",
        boxed("Sylvania 391"),
    ]
    with serve(lambda question: turns) as server:
        job = make_job(server.base_url, tmp_path / "b", benchmarks=("hotpotqa",), tools={}, limits=LIMITS)
        work(job.model_copy(update={"inputs": {**job.inputs, "corpus": corpus}}), events)
    samples = read_samples(job.output / "samples" / "hotpotqa.jsonl")
    assert [sample.correct for sample in samples] == [True, True]
    assert [(call.tool, call.failure) for call in samples[0].tool_calls] == [("search", None), ("python", None)]
    assert "Sylvania" in samples[0].tool_calls[0].output
    assert samples[0].tool_calls[1].output == "391"
    assert read_report(job.output / "report.json").overall.tool_calls_per_sample == 2.0


def test_another_model_is_refused(serve, make_job, tmp_path, write_rows, boxed, events):
    write_rows(tmp_path / "b" / "hotpotqa.jsonl", [{"question": "q", "answer": "a"}])
    with serve(boxed, model="demo@v0") as server, pytest.raises(JobError, match="serves demo@v0, not demo@v1"):
        work(make_job(server.base_url, tmp_path / "b", benchmarks=("hotpotqa",)), events)
    with serve(boxed, max_model_len=8000) as server, pytest.raises(JobError, match="max_model_len 8000"):
        work(make_job(server.base_url, tmp_path / "b", benchmarks=("hotpotqa",)), events)


def test_nobody_answers(make_job, tmp_path, write_rows, events):
    write_rows(tmp_path / "b" / "hotpotqa.jsonl", [{"question": "q", "answer": "a"}])
    with pytest.raises(JobError, match="gives no list of models") as error:
        work(make_job("http://127.0.0.1:9/v1", tmp_path / "b", benchmarks=("hotpotqa",)), events)
    assert error.value.exit_code == EXIT_TRANSIENT


def test_a_missing_model_folder_and_context_are_named(serve, make_job, tmp_path, write_rows, boxed, events):
    write_rows(tmp_path / "b" / "hotpotqa.jsonl", [{"question": "q", "answer": "a"}])
    with serve(boxed) as server:
        job = make_job(server.base_url, tmp_path / "b", benchmarks=("hotpotqa",))
        with pytest.raises(JobError, match=r"input 'model': .*no tokenizer_config.json"):
            work(job.model_copy(update={"inputs": {**job.inputs, "model": tmp_path}}), events)
        with pytest.raises(JobError, match="context 'served_model' is missing"):
            work(job.model_copy(update={"context": {"base_url": server.base_url}}), events)


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again(serve, make_job, tmp_path, write_rows, boxed):
    rows = [{"question": f"q{i}", "answer": [f"q{i}"]} for i in range(30)]
    write_rows(tmp_path / "b" / "hotpotqa.jsonl", rows)
    with serve(boxed, delay_s=0.05) as server:
        job = make_job(
            server.base_url, tmp_path / "b", benchmarks=("hotpotqa",), samples=4, max_questions=None, concurrency=2
        )
        (tmp_path / "job.json").write_text(job.model_dump_json())
        command = [sys.executable, "-m", "appo_core.jobs.evaluate", str(tmp_path / "job.json")]
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while len(server.requests) < 40 and first.poll() is None:
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        time.sleep(0.5)  # what the killed client had sent already still reaches the server
        kept = sum(len(path.read_text().splitlines()) for path in job.work.glob("samples/*/hotpotqa.jsonl"))
        made = len(server.requests)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 0, second.stdout + second.stderr
        assert 30 <= kept < 120
        assert len(server.requests) - made == 120 - kept
    lines = [json.loads(line) for line in second.stdout.splitlines() if line.startswith('{"event"')]
    assert any(f"going on after {kept} finished samples of 120" in line.get("message", "") for line in lines)
    assert lines[-1]["metrics"]["pass@1"] == 1.0
    samples = read_samples(job.output / "samples" / "hotpotqa.jsonl")
    assert [sample.key for sample in samples] == [(str(q), n) for q in range(30) for n in range(4)]
