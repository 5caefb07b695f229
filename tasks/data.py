"""The data stage: rows loaded, repaired, decontaminated and checked, as four datasets."""

from collections.abc import Mapping
from typing import Any

from tasks.prefect_task import stage_task
from tasks.stage import Origin, Output, Stage


def origin(settings: Mapping[str, Any]) -> Origin:
    """The files that the rows come from, or the demo world."""
    source = settings["source"]
    if source["kind"] == "demo":
        return Origin(f"the project's demo world, seed {source['seed']}", "Apache-2.0")
    files = [source["sft"], *source["rl_train"], *source["rl_valid"], source["benchmarks"], source["corpus"]]
    return Origin(", ".join(file for file in [*files, source["search_cache"]] if file), source["licence"])


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
    origin=origin,
)
data = stage_task(STAGE)
