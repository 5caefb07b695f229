"""Sharded checkpoint to a verified Hugging Face model."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="merge",
    version="1",
    environment="engine",
    code=("appo_core.jobs.merge", "appo_core.jobs.contract", "appo_core.merging"),
    outputs=(Output("model", "model", suites=("model",)),),
    roles=("checkpoint",),
)
merge = stage_task(STAGE)
