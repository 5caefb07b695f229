import math
from pathlib import Path

import pytest

from appo_core.config import EvaluateSettings
from appo_core.evaluation.aggregate import benchmark_report, build_report
from appo_core.evaluation.benchmarks import REGISTRY, Question
from appo_core.evaluation.compare import compare
from appo_core.evaluation.markdown import report_markdown
from appo_core.evaluation.plot import plot_comparison, plot_report
from appo_core.evaluation.report import Report, read_report
from appo_core.evaluation.samples import Call, Sample
from appo_core.jobs.contract import JobError

FAILED_CALL = Call(tool="search", argument="q", output="", failure="timeout")
SETTINGS = EvaluateSettings(samples=2, bootstrap_resamples=500)


def make_report(rates: dict[str, list[int]], model: str = "model/demo@1", available: int = 0) -> Report:
    """A report in which the question i of a benchmark has `rates[benchmark][i]` of 2 samples right."""
    samples, reports = {}, []
    for name, counts in rates.items():
        questions = [Question(name, str(i), f"q{i}", ("g",), REGISTRY[name].kind) for i in range(len(counts))]
        samples[name] = [
            Sample(
                id=str(i), sample=n, seed=0, response="r", prediction="p", finish="eos", response_tokens=10,
                correct=n < right, f1=float(n < right), method="exact", tool_calls=(FAILED_CALL,),
            )
            for i, right in enumerate(counts)
            for n in range(2)
        ]  # fmt: skip
        reports.append(
            benchmark_report(questions, samples[name], available=max(available, len(counts)), settings=SETTINGS)
        )
    return build_report(reports, samples, settings=SETTINGS, model=model, served_model="demo")


def test_figures_of_benchmarks_and_their_mean():
    report = make_report({"gsm8k": [2, 0, 1, 1], "hotpotqa": [0, 0]})
    math_figures = report.benchmarks[0]
    assert [math_figures.pass_at[k].value for k in (1, 2)] == [0.5, 0.75]
    assert math_figures.f1 is None
    assert report.benchmarks[1].f1 is not None
    assert report.overall.pass_at[1].value == 0.25
    assert report.overall.f1 is not None
    assert report.overall.f1.value == 0.0
    assert report.overall.samples == 12
    assert report.overall.failures == {"search: timeout": 12}
    low, high = math_figures.pass_at[1].low, math_figures.pass_at[1].high
    assert low is not None
    assert high is not None
    assert 0 <= low < 0.5 < high <= 1


def test_report_survives_writing_and_reading(tmp_path: Path):
    report = make_report({"gsm8k": [2, 0]})
    path = tmp_path / "report.json"
    path.write_text(report.model_dump_json())
    assert read_report(path) == report
    path.write_text('{"model": "x"}')
    with pytest.raises(JobError, match="Field required"):
        read_report(path)


def test_markdown_names_cuts_and_every_figure():
    text = report_markdown(make_report({"gsm8k": [2, 0], "2wiki": [1, 1]}, available=100))
    assert "| GSM8K | 2 | 4 | 50.0 [0.0, 100.0] | 50.0 [0.0, 100.0] |" in text
    assert "| **Mean of benchmarks** | 4 | 8 | 50.0" in text
    assert "CUT to the first questions (evaluate.max_questions): GSM8K 2 of 100, 2WikiMultihopQA 2 of 100." in text
    assert "eos 4" in text


def test_comparison_pairs_questions():
    before = make_report({"gsm8k": [0, 1] * 30, "musique": [0] * 20}, "sft")
    after = make_report({"gsm8k": [1, 2] * 30, "musique": [2] * 20}, "rl")
    comparison = compare(before, after, names=("SFT", "RL"))
    row = comparison.rows[0]
    assert (row.first.value, row.second.value) == (0.25, 0.75)
    assert (row.difference.low, row.difference.value, row.difference.high) == (0.5, 0.5, 0.5)
    assert comparison.overall.difference.value == pytest.approx(0.75)
    assert comparison.overall.intervals_apart
    text = comparison.markdown()
    assert "| GSM8K | 60 | 25.0" in text
    assert "+50.0 [50.0, 50.0]" in text
    assert not compare(before, before).overall.intervals_apart


def test_comparison_says_what_it_leaves_out():
    one = make_report({"gsm8k": [1, 1, 1], "gaia": [1]})
    two = make_report({"gsm8k": [2, 2]})
    comparison = compare(one, two)
    assert comparison.overall.questions == 2
    assert comparison.notes == ["Left out, not in both reports: gaia.", "Only shared questions count in: GSM8K."]
    with pytest.raises(JobError, match="no question with 1 samples in both"):
        compare(make_report({"gaia": [1]}), two)
    with pytest.raises(JobError, match="no question with 3 samples"):
        compare(one, two, k=3)


def test_pictures_are_written(tmp_path: Path):
    report = make_report({name: [1, 2, 0, 0] for name in REGISTRY})
    plot_report(report, tmp_path / "a.png")
    plot_comparison(compare(report, report, names=("SFT", "RL")), tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_pass_at_more_than_the_samples_is_not_a_figure():
    report = make_report({"gsm8k": [1]})
    assert set(report.benchmarks[0].pass_at) == {1, 2}
    assert all(not math.isnan(figure.value or 0.0) for figure in report.benchmarks[0].pass_at.values())
