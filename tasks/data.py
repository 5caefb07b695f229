"""The data stage: rows loaded, repaired, decontaminated and checked, as four datasets."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="data",
    version="1",
    environment="orchestrator",
    code=(
        "appo_core.jobs.data",
        "appo_core.jobs.contract",
        "appo_core.data",
        "appo_core.demo",
        "appo_core.evaluation.benchmarks",
        "appo_core.rewards.response",
        "appo_core.rollout.prompts",
        "appo_core.tools.base",
        "appo_core.tools.corpus_search",
        "appo_core.tools.search_results",
    ),
    outputs=(
        Output("sft", "dataset", "-sft", "sft", suites=("sft",), metrics=("sft_",), optional=True),
        Output("corpus", "dataset", "-corpus", "corpus", metrics=("corpus_", "recorded_"), optional=True),
        Output("benchmarks", "dataset", "-benchmarks", "benchmarks", metrics=("benchmark",), optional=True),
        Output("rl", "dataset", "-rl", "rl", suites=("rl",), metrics=("rl_",)),
    ),
)
data = stage_task(STAGE)
