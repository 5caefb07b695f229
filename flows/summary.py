"""What the whole chain ends with: the two models side by side, and how long each stage took."""

import base64
import tempfile
from pathlib import Path
from typing import Literal

from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from appo_core.artifacts import Store
from appo_core.evaluation.compare import Comparison, ComparisonRow, compare
from appo_core.evaluation.report import Report, read_report
from appo_core.jobs.contract import JobError
from appo_core.local import cache
from tasks.cards import slug
from tasks.errors import StageError
from tasks.stage import StageResult


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageTime(_Record):
    """How one stage went."""

    stage: str
    status: Literal["ran", "reused"]
    seconds: float
    artifacts: tuple[str, ...] = ()

    @classmethod
    def of(cls, title: str, result: StageResult) -> "StageTime":
        """From a stage's result."""
        return cls(stage=title, status=result.status, seconds=result.seconds, artifacts=tuple(result.outputs.values()))

    @classmethod
    def of_server(cls, title: str, result: StageResult) -> "StageTime":
        """The model server behind an evaluation: it runs only when there is something to evaluate."""
        ran = result.serve_seconds is not None
        return cls(stage=title, status="ran" if ran else "reused", seconds=round(result.serve_seconds or 0.0, 1))


class Score(_Record):
    """One row of the comparison: percent with 95 % intervals."""

    benchmark: str
    questions: int
    sft: str
    rl: str
    difference: str
    intervals_apart: bool


class Summary(_Record):
    """The comparison of the SFT and the RL model."""

    k: int
    rows: tuple[Score, ...]
    notes: tuple[str, ...]
    markdown: str


class PipelineResult(_Record):
    """What the chain has to show."""

    store: str
    model: str
    reports: tuple[str, str]
    stages: tuple[StageTime, ...]
    comparison: Summary


@task(name="compare", task_run_name="compare {name}", cache_policy=NO_CACHE, persist_result=False)
def show_comparison(store: Store, name: str, before: str, after: str) -> Summary:
    """Compare two evaluation reports; the comparison is a page, a table and a picture of this run.

    Raises `StageError` when the reports share no question.
    """
    try:
        comparison = compare(_read(store, before), _read(store, after), names=("SFT", "RL"))
    except JobError as error:
        raise StageError.of(error) from None
    plot = _plot(comparison)
    text, key = comparison.markdown(), slug(f"comparison-{name}")
    rows = tuple(_score(row) for row in comparison.rows)
    create_markdown_artifact(f"{text}\n\n![comparison]({plot})", key=key, description="SFT against RL")
    create_table_artifact([row.model_dump() for row in rows], key=f"{key}-table", description="SFT against RL")
    create_image_artifact(plot, key=f"{key}-plot", description="SFT against RL, 95 % intervals")
    return Summary(k=comparison.k, rows=rows, notes=tuple(comparison.notes), markdown=text)


def show_times(name: str, times: list[StageTime]) -> None:
    """The stage times as a table of this run."""
    table = [{"stage": one.stage, "status": one.status, "seconds": one.seconds} for one in times]
    create_table_artifact(table, key=slug(f"stage-times-{name}"), description="How long each stage took")


def _read(store: Store, ref: str) -> Report:
    return read_report(store.fetch(store.find(ref), cache()) / "report.json")


def _plot(comparison: Comparison) -> str:
    """The comparison's picture as a data URI."""
    from appo_core.evaluation.plot import plot_comparison  # matplotlib takes a second to import

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "comparison.png"
        plot_comparison(comparison, path)
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _score(row: ComparisonRow) -> Score:
    return Score(
        benchmark=row.title,
        questions=row.questions,
        sft=row.first.text(),
        rl=row.second.text(),
        difference=row.difference.text(),
        intervals_apart=row.intervals_apart,
    )
