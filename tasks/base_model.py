"""The base model: built from a seed, or taken from a folder."""

from collections.abc import Mapping
from typing import Any

from tasks.prefect_task import stage_task
from tasks.stage import Origin, Output, Stage


def origin(settings: Mapping[str, Any]) -> Origin:
    """The folder the model was taken from, or the seed it was built from."""
    if settings["kind"] == "tiny":
        return Origin(f"random weights, seed {settings['seed']}", "Apache-2.0")
    return Origin(settings["path"], settings["licence"])


STAGE = Stage(
    name="base_model",
    version="1",
    environment="engine",
    code=("appo_core.jobs.base_model", "appo_core.jobs.contract", "appo_core.demo"),
    outputs=(Output("model", "model", "-base", suites=("model",)),),
    origin=origin,
)
base_model = stage_task(STAGE)
