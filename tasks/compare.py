"""RL runs side by side: learning curves, intervals over seeds, and where branch points fell."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="compare",
    version="1",
    environment="orchestrator",
    code=("appo_core.jobs.compare", "appo_core.jobs.contract", "appo_core.experiments"),
    outputs=(Output("comparison", "comparison", "-rl"),),
)
compare = stage_task(STAGE)
