"""The 13 benchmarks and SimpleQA, in report order."""

from appo_core.evaluation.benchmarks.base import Benchmark
from appo_core.evaluation.benchmarks.golds import (
    alias_answers,
    gsm8k_answer,
    integer_answer,
    math_answer,
    text_answer,
)

_PROBLEM = ("problem", "question")

REGISTRY: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("aime24", "AIME 2024", "math", "math", integer_answer, ("question", "problem"), ("id",)),
        Benchmark("aime25", "AIME 2025", "math", "math", integer_answer, _PROBLEM, ("id",)),
        Benchmark(
            "math500", "MATH-500", "math", "math", math_answer, ("question", "problem"), ("unique_id",),
            ("subject", "level"),
        ),
        Benchmark("math", "MATH", "math", "math", math_answer, _PROBLEM, ("unique_id", "id"), ("level", "type")),
        Benchmark("gsm8k", "GSM8K", "math", "math", gsm8k_answer, id_fields=("idx",)),
        Benchmark(
            "webwalker", "WebWalkerQA", "knowledge", "qa", alias_answers, f1=True, language="mixed",
            metadata_fields=("info.domain", "info.type", "info.difficulty_level", "info.lang"),
        ),
        Benchmark("hotpotqa", "HotpotQA", "knowledge", "qa", alias_answers, f1=True),
        Benchmark("2wiki", "2WikiMultihopQA", "knowledge", "qa", alias_answers, f1=True),
        Benchmark("musique", "MuSiQue", "knowledge", "qa", alias_answers, f1=True),
        Benchmark("bamboogle", "Bamboogle", "knowledge", "qa", alias_answers, f1=True),
        Benchmark("gaia", "GAIA", "deep search", "qa", text_answer, ("Question",), ("task_id",), ("Level",)),
        Benchmark(
            "hle", "HLE", "deep search", "qa", text_answer, id_fields=("id",),
            metadata_fields=("answer_type", "category", "raw_subject"),
        ),
        Benchmark("xbench", "xbench-DeepSearch", "deep search", "qa", alias_answers, id_fields=("id",), language="zh"),
        Benchmark("simpleqa", "SimpleQA", "deep search", "qa", alias_answers, f1=True),
    )
}  # fmt: skip
"""Benchmark by name."""
