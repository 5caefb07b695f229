"""Cold-start supervised fine-tuning with LLaMA-Factory."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="sft",
    version="1",
    environment="sft",
    code=("appo_core.jobs.sft", "appo_core.jobs.contract", "appo_core.sft"),
    outputs=(Output("model", "sft-model", suites=("model",)),),
    roles=("model", "data"),
)
sft = stage_task(STAGE)
