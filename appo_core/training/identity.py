"""What a resumed run must have in common with the run that wrote its checkpoint."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import JobError
from appo_core.training.prompts import Prompt

FREE = frozenset(
    {
        "steps", "max_generated_tokens", "micro_batch_tokens", "tools", "engine", "validate_every", "validate_first",
        "validate_samples", "validate_temperature", "save_every", "keep_checkpoints", "keep_best", "publish",
        "dump_rollouts_every", "gradient_checkpointing", "processes", "cpu_threads",
    }
)  # fmt: skip
"""Settings that may change in mid-run; any other one makes it another run."""
SHOWN = 5
"""Differences that an error lists."""


def run_identity(settings: RlSettings, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The settings that decide what is learnt, and a digest of the training prompts."""
    digest = hashlib.sha256()
    for prompt in prompts:
        digest.update(json.dumps([prompt.uid, prompt.gold, prompt.ids]).encode())
    data = f"{len(prompts)} prompts, {digest.hexdigest()[:12]}"
    return settings.model_dump(mode="json", exclude=set(FREE)) | {"data": data}


def check_identity(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises `JobError` that lists the settings in which the run that wrote `folder` differs from this one."""
    found = list(_differences(there, here))
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise JobError(
            f"checkpoint {folder} is of another run: {'; '.join(found[:SHOWN])}{more}",
            remedy="put these settings back, or give this run a work folder of its own",
        )


def _differences(there: Any, here: Any, name: str = "") -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in dict.fromkeys([*there, *here]):
            yield from _differences(there.get(key), here.get(key), f"{name}.{key}" if name else str(key))
    elif there != here:
        yield f"{name} was {json.dumps(there)} and is {json.dumps(here)}"
