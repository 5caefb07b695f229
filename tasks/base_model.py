"""The base model: built from a seed, or taken from a folder."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="base_model",
    version="1",
    environment="engine",
    code=("appo_core.jobs.base_model", "appo_core.jobs.contract", "appo_core.demo"),
    outputs=(Output("model", "model", "-base", suites=("model",)),),
)
base_model = stage_task(STAGE)
