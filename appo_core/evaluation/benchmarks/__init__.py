"""The benchmarks: their published row formats, and how their files become questions."""

from appo_core.evaluation.benchmarks.base import Benchmark, Question, RowFault
from appo_core.evaluation.benchmarks.loader import find_file, load_benchmarks, load_questions, parse_questions
from appo_core.evaluation.benchmarks.registry import REGISTRY

__all__ = [
    "REGISTRY",
    "Benchmark",
    "Question",
    "RowFault",
    "find_file",
    "load_benchmarks",
    "load_questions",
    "parse_questions",
]
