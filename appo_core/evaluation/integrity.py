"""The check of predictions: every question exactly k times, nothing else."""

from collections import Counter
from collections.abc import Iterable, Sequence

from appo_core.data.text import listed
from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.samples import Sample
from appo_core.jobs.contract import JobError


def check_complete(benchmark: str, questions: Sequence[Question], samples: Iterable[Sample], k: int) -> None:
    """Raise `JobError` naming the ids unless every question has the samples 0..k-1, once each, and no other id any."""
    found = Counter(sample.key for sample in samples)
    wanted = {(question.id, number) for question in questions for number in range(k)}
    faults = {
        "missing": wanted - found.keys(),
        "unknown": found.keys() - wanted,
        "doubled": {key for key, times in found.items() if times > 1},
    }
    wrong = [
        f"{name}: {listed([f'{id}#{number}' for id, number in sorted(keys)])}" for name, keys in faults.items() if keys
    ]
    if wrong:
        raise JobError(
            f"predictions of {benchmark}: every id must come exactly {k} times; {'; '.join(wrong)}",
            remedy="delete the stage's work folder for this benchmark and run the evaluation again",
        )
