"""The results of a finished run, laid out for the stages that follow."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import JobError
from appo_core.merging.shards import read_shards
from appo_core.training.checkpoint import COMPLETE, Marker, TrainState, step_folder
from appo_core.training.lora import write_adapter
from appo_core.training.paths import Paths

MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "chat_template.jinja",
    "*token*",
    "*.model",
    "vocab.json",
    "merges.txt",
)
"""What stands beside the weights in a model folder, copied next to the shards."""


def publish(paths: Paths, model: Path, settings: RlSettings, state: TrainState, base: str) -> TrainState:
    """Lay out shards or an adapter of `base`, model files, metrics, TensorBoard and rollouts.

    Returns the counters of the checkpoint that was taken: the last one, or the best (`rl.publish`).

    Raises:
        JobError: the best one is wanted and there is none, as no validation gave a number.
    """
    chosen = step_folder(paths.checkpoints, published_step(settings, state))
    target = paths.output / "checkpoint"
    if settings.lora:
        write_adapter(target / "adapter", settings.lora, read_shards(chosen / "model"), base)
    else:
        shutil.copytree(chosen / "model", target / "dcp", dirs_exist_ok=True)
    taken = Marker.read(chosen).state
    (target / COMPLETE).write_text(json.dumps(asdict(taken), indent=1))
    (target / "hf").mkdir(parents=True, exist_ok=True)
    for path in sorted({path for pattern in MODEL_FILES for path in model.glob(pattern)}):
        shutil.copy2(path, target / "hf" / path.name)
    shutil.copy2(paths.metrics, target / "metrics.jsonl")
    shutil.copytree(paths.work / "tensorboard", target / "tensorboard", dirs_exist_ok=True)
    if (paths.work / "rollouts").exists():
        shutil.copytree(paths.work / "rollouts", paths.output / "rollouts", dirs_exist_ok=True)
    return taken


def published_step(settings: RlSettings, state: TrainState) -> int:
    """The step whose checkpoint is the run's result."""
    if settings.publish == "last":
        return state.step
    if state.best is None:
        raise JobError(
            f"rl.publish is best, but no validation gave {settings.keep_best} a number",
            remedy="set rl.publish to last, or look at the validations in metrics.jsonl",
        )
    return state.best.step


def summary(paths: Paths, state: TrainState, taken: TrainState) -> dict[str, float]:
    """The run's metrics: the newest value of each up to the checkpoint that was taken, and what the whole run cost."""
    merged: dict[str, float] = {}
    for line in paths.metrics.read_text().splitlines():
        row = json.loads(line)
        if row["step"] <= taken.step:
            merged |= row
    names = ("train/score", "train/correct", "validation/score", "validation/correct")
    return {name: merged[name] for name in names if name in merged} | {
        "steps": state.step,
        "published_step": taken.step,
        "generated_tokens": state.tokens,
    }
