"""The registry of suites, and the one call that runs any of them."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from appo_core.checks import conversations, model, predictions, prompts, rollouts, scores
from appo_core.checks.report import CheckReport
from appo_core.checks.rules import Suite
from appo_core.checks.runner import validate
from appo_core.jobs.contract import JobError

SUITES: Mapping[str, Suite] = MappingProxyType(
    {
        "sft": conversations.SUITE,
        "rl": prompts.SUITE,
        "rollouts": rollouts.SUITE,
        "model": model.SUITE,
        "predictions": predictions.SUITE,
        "scores": scores.SUITE,
    }
)


def run_suite(name: str, folder: Path, *, context: Mapping[str, Any] = MappingProxyType({})) -> CheckReport:
    """Run one suite on an artifact's folder.

    `context` is described in each suite's module. Failed rules are in the report and do not raise; a file that cannot
    be read at all raises `JobError`.
    """
    if name not in SUITES:
        raise JobError(f"check suite '{name}' is unknown", remedy=f"choose from {', '.join(SUITES)}")
    if not folder.is_dir():
        raise JobError(f"check {name}: folder {folder} does not exist", remedy="run the stage that writes it")
    started = time.monotonic()
    suite = SUITES[name]
    table = suite.table(folder, context)
    results = validate(name, table, suite.rules(context))
    success = all(result.success for result in results)
    return CheckReport(name, success, results, rows=len(table), seconds=time.monotonic() - started)
