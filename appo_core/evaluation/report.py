"""What an evaluation report holds; importable everywhere, without torch."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from appo_core.config import EvaluateSettings
from appo_core.evaluation.passk import Estimate
from appo_core.jobs.contract import JobError


class Record(BaseModel):
    """Base of what a report holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Record):
    """A mean in [0, 1] with its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, estimate: Estimate) -> "Figure":
        """An estimate, NaN turned into None."""
        numbers = (estimate.value, estimate.low, estimate.high)
        value, low, high = (None if np.isnan(number) else float(number) for number in numbers)
        return cls(value=value, low=low, high=high)

    def text(self) -> str:
        """Percent, `41.2 [38.0, 44.1]`."""
        if self.value is None or self.low is None or self.high is None:
            return "n/a"
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


class Outcomes(Record):
    """Per question, in one order: how many samples, how many of them right, and their mean F1."""

    ids: list[str]
    samples: list[int]
    correct: list[int]
    f1: list[float]


class Totals(Record):
    """Figures of one benchmark, or of all."""

    questions: int
    samples: int
    pass_at: dict[int, Figure]
    f1: Figure | None
    """Token F1, for benchmarks that have it as a metric."""
    tool_calls_per_sample: float
    mean_response_tokens: float
    finish: dict[str, int]
    """How samples ended: `eos`, `length`, `timeout`, `failed`."""
    failures: dict[str, int]
    """Causes of failed samples and of failed tool calls."""
    methods: dict[str, int]
    """What decided the verdicts."""


class BenchmarkReport(Totals):
    """Figures of one benchmark."""

    name: str
    display_name: str
    available: int
    """Questions in the file; more than `questions` when the run was cut."""
    outcomes: Outcomes


class JudgeRecord(Record):
    """Who judged, and how often."""

    model: str
    identity: str
    """The model that the endpoint itself says it serves under that name."""
    judged: int = 0
    turned_right: int = 0
    no_verdict: int = 0


class Report(Record):
    """An evaluation of one model."""

    format: int = 1
    model: str
    served_model: str
    k: int
    seed: int
    resamples: int
    benchmarks: list[BenchmarkReport]
    overall: Totals
    """Means over benchmarks, each benchmark weighing the same."""
    judge: JudgeRecord | None = None
    settings: EvaluateSettings

    @property
    def notes(self) -> list[str]:
        """What a reader must know to read the figures rightly."""
        cut = [f"{b.display_name} {b.questions} of {b.available}" for b in self.benchmarks if b.questions < b.available]
        notes = [f"CUT to the first questions (evaluate.max_questions): {', '.join(cut)}."] if cut else []
        undecided = sum(self.overall.methods.get(method, 0) for method in ("timeout", "unreadable"))
        if undecided:
            notes.append(f"{undecided} answers could not be compared symbolically in time and count as wrong.")
        if self.judge is None:
            notes.append("Verdicts come from rules alone; long free-text answers (WebWalkerQA) need a judge.")
        return notes


def read_report(path: Path) -> Report:
    """Read a `report.json`; raises `JobError`."""
    try:
        return Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise JobError(f"{path}: no such report", remedy="run the evaluation first") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise JobError(f"{path}: {where or 'not JSON'}: {first['msg']}", remedy="run the evaluation again") from error
