"""The checks between stages: what a stage made must pass its suites before anybody can see it."""

from collections.abc import Callable, Mapping
from typing import Any

from appo_core.jobs.contract import Job
from tasks.checks import check
from tasks.stage import Output, Stage

Context = Mapping[str, Any]


def _rl(job: Job) -> Context:
    """Prompts are compared with the benchmarks, unless contaminated rows were asked for."""
    benchmarks = job.output / "benchmarks"
    wanted = job.settings.get("decontaminate") == "off" or not benchmarks.is_dir()
    return {} if wanted else {"benchmarks": benchmarks}


def _model(job: Job) -> Context:
    """A model is compared with the one it was trained from, and its data type with the settings."""
    origin = job.inputs.get("model") or job.inputs.get("reference")
    reference = {"reference": origin} if origin else {}
    return reference | ({"dtype": job.settings["dtype"]} if "dtype" in job.settings else {})


def _samples(job: Job) -> Context:
    return {"samples": job.settings["samples"]} if "samples" in job.settings else {}


def _scores(job: Job) -> Context:
    return {"benchmarks": job.settings["benchmarks"]} if "benchmarks" in job.settings else {}


def _none(_job: Job) -> Context:
    return {}


CONTEXTS: Mapping[str, Callable[[Job], Context]] = {
    "rl": _rl,
    "model": _model,
    "predictions": _samples,
    "scores": _scores,
}
"""What each suite must know beside the folder."""


def check_output(stage: Stage, output: Output, job: Job) -> dict[str, Any]:
    """Reports of an output's suites, by name; each is also an artifact of the run.

    Raises `StageError` at the first suite that fails: nothing of the stage is published then.
    """
    reports: dict[str, Any] = {}
    for suite in output.suites:
        reports[suite] = check(stage.name, suite, job.output / output.folder, CONTEXTS.get(suite, _none)(job))
    return reports
