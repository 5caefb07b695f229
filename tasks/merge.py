"""Sharded checkpoint, or adapter and base model, to a verified Hugging Face model."""

from collections.abc import Mapping
from typing import Any

from tasks.prefect_task import stage_task
from tasks.stage import Origin, Output, Stage


def origin(settings: Mapping[str, Any]) -> Origin:
    """Where weights from outside the store come from."""
    source = settings["source"]
    if source["kind"] == "published":
        return Origin()
    return Origin(source["path"] + (f" on {source['base']}" if source["base"] else ""), source["licence"])


STAGE = Stage(
    name="merge",
    version="1",
    environment="engine",
    code=("appo_core.jobs.merge", "appo_core.jobs.contract", "appo_core.merging"),
    outputs=(Output("model", "model", suites=("model",)),),
    origin=origin,
)
merge = stage_task(STAGE)
