"""Training questions that are benchmark items (text-normalised match)."""

from collections.abc import Iterable, Mapping

from appo_core.data.text import comparison_key


def benchmark_index(questions: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Comparison key -> benchmark, from each benchmark's questions. Built once, looked up in constant time."""
    index: dict[str, str] = {}
    for benchmark, texts in questions.items():
        for text in texts:
            key = comparison_key(text)
            if key:
                index.setdefault(key, benchmark)
    return index


def contaminated(keyed: Iterable[tuple[str, str]], index: Mapping[str, str]) -> dict[str, str]:
    """Ids of rows whose question is a benchmark item, each with that benchmark; from (id, question) pairs."""
    hits = ((name, index.get(comparison_key(question))) for name, question in keyed)
    return {name: benchmark for name, benchmark in hits if benchmark is not None}
