"""From scored samples to the figures of a report."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from appo_core.config import EvaluateSettings
from appo_core.evaluation.benchmarks import REGISTRY, Question
from appo_core.evaluation.passk import Floats, bootstrap_means, interval, pass_at_k
from appo_core.evaluation.report import BenchmarkReport, Figure, JudgeRecord, Outcomes, Report, Totals
from appo_core.evaluation.samples import Sample


def benchmark_report(
    questions: Sequence[Question], samples: Sequence[Sample], *, available: int, settings: EvaluateSettings
) -> BenchmarkReport:
    """The figures of one benchmark from its scored samples."""
    benchmark = REGISTRY[questions[0].benchmark]
    outcomes = _outcomes(questions, samples)
    values_QK = value_columns(outcomes, settings.samples)
    means_RK = bootstrap_means(values_QK, settings.bootstrap_resamples, benchmark_seed(settings.seed, benchmark.name))
    figures = [Figure.of(estimate) for estimate in interval(values_QK.mean(axis=0), means_RK)]
    return BenchmarkReport(
        name=benchmark.name,
        display_name=benchmark.display_name,
        available=available,
        outcomes=outcomes,
        pass_at=dict(enumerate(figures[:-1], start=1)),
        f1=figures[-1] if benchmark.f1 else None,
        **_counts(len(questions), samples),
    )


def build_report(
    benchmarks: Sequence[BenchmarkReport],
    samples: Mapping[str, Sequence[Sample]],
    *,
    settings: EvaluateSettings,
    model: str,
    served_model: str,
    judge: JudgeRecord | None = None,
) -> Report:
    """The report of all benchmarks."""
    everything = [sample for group in samples.values() for sample in group]
    figures = macro_figures([b.outcomes for b in benchmarks], [b.name for b in benchmarks], settings)
    with_f1 = [b for b in benchmarks if b.f1 is not None]
    f1 = macro_figures([b.outcomes for b in with_f1], [b.name for b in with_f1], settings)[-1] if with_f1 else None
    return Report(
        model=model,
        served_model=served_model,
        k=settings.samples,
        seed=settings.seed,
        resamples=settings.bootstrap_resamples,
        benchmarks=list(benchmarks),
        overall=Totals(
            pass_at=dict(enumerate(figures[:-1], start=1)),
            f1=f1,
            **_counts(sum(b.questions for b in benchmarks), everything),
        ),
        judge=judge,
        settings=settings,
    )


def macro_figures(outcomes: Sequence[Outcomes], names: Sequence[str], settings: EvaluateSettings) -> list[Figure]:
    """pass@1..k and F1 as means over benchmarks; questions are resampled inside each benchmark."""
    columns = [value_columns(each, settings.samples) for each in outcomes]
    seeds = [benchmark_seed(settings.seed, name) for name in names]
    resampled = [bootstrap_means(v, settings.bootstrap_resamples, s) for v, s in zip(columns, seeds, strict=True)]
    point_K = np.mean([values_QK.mean(axis=0) for values_QK in columns], axis=0)
    return [Figure.of(estimate) for estimate in interval(point_K, np.mean(resampled, axis=0))]


def value_columns(outcomes: Outcomes, k: int) -> Floats:
    """pass@1..k and F1 per question: (Q, k + 1)."""
    columns = [pass_at_k(outcomes.samples, outcomes.correct, each) for each in range(1, k + 1)]
    return np.stack([*columns, np.asarray(outcomes.f1, dtype=np.float64)], axis=1)


def benchmark_seed(seed: int, name: str) -> int:
    """The bootstrap's seed for one benchmark, so that benchmarks of one size are resampled independently."""
    return crc32(f"{seed}/{name}".encode())


def _outcomes(questions: Sequence[Question], samples: Iterable[Sample]) -> Outcomes:
    verdicts: dict[str, list[tuple[bool, float]]] = {question.id: [] for question in questions}
    for sample in samples:
        verdicts[sample.id].append((bool(sample.correct), sample.f1 or 0.0))
    return Outcomes(
        ids=list(verdicts),
        samples=[len(each) for each in verdicts.values()],
        correct=[sum(right for right, _ in each) for each in verdicts.values()],
        f1=[round(sum(f1 for _, f1 in each) / max(len(each), 1), 6) for each in verdicts.values()],
    )


def _counts(questions: int, samples: Sequence[Sample]) -> dict[str, Any]:
    """The fields that `Totals` and `BenchmarkReport` share."""
    size = max(len(samples), 1)
    causes = Counter(f"sample: {_short(sample.failure)}" for sample in samples if sample.failure)
    causes += Counter(f"{c.tool}: {_short(c.failure)}" for s in samples for c in s.tool_calls if c.failure)
    return {
        "questions": questions,
        "samples": len(samples),
        "tool_calls_per_sample": round(sum(sample.calls_made for sample in samples) / size, 4),
        "mean_response_tokens": round(sum(sample.response_tokens for sample in samples) / size, 2),
        "finish": dict(Counter(sample.finish for sample in samples).most_common()),
        "failures": dict(causes.most_common(10)),
        "methods": dict(Counter(sample.method or "none" for sample in samples).most_common()),
    }


def _short(cause: str | None) -> str:
    return (cause or "").splitlines()[0][:80] if cause else ""
