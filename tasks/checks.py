"""Data checks as Prefect tasks: a suite runs, its verdicts become artifacts, and a failure ends the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from appo_core.jobs.contract import JobError
from tasks.errors import StageError


@task(name="check", task_run_name="check {suite} of {stage}", cache_policy=NO_CACHE, persist_result=False, retries=0)
def check(stage: str, suite: str, folder: Path, context: Mapping[str, Any]) -> dict[str, Any]:
    """The report of one suite on a stage's folder, as JSON values; also a markdown page and a table in the UI.

    Raises `StageError`, one line naming suite, rule, rows and remedy, when a rule fails or a file cannot be read.
    Never cached: a folder is named, not its content.
    """
    from appo_core.checks import run_suite  # pandas and Great Expectations take seconds to import

    key = f"check-{stage.replace('_', '-')}-{suite}"
    try:
        report = run_suite(suite, folder, context=context)
        create_markdown_artifact(report.to_markdown(), key=key, description=f"Check {suite} of {stage}")
        create_table_artifact(report.rows_table(), key=f"{key}-rules", description=f"Rules of check {suite}")
        report.raise_for_failures()
    except JobError as error:
        raise StageError(f"{stage}: {error.message}", remedy=error.remedy) from None
    return report.to_json()
