"""Evaluation over HTTP: benchmarks x samples through the tool loop, pass@k with intervals."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="evaluate",
    version="1",
    environment="engine",
    code=(
        "appo_core.jobs.evaluate",
        "appo_core.jobs.contract",
        "appo_core.data.faults",
        "appo_core.data.readers",
        "appo_core.data.text",
        "appo_core.evaluation",
        "appo_core.rollout",
        "appo_core.tools",
        "appo_core.rewards",
        "appo_core.serving",
    ),
    outputs=(Output("report", "eval-report", suites=("predictions", "scores")),),
    roles=("model", "benchmarks"),
)
evaluate = stage_task(STAGE)
