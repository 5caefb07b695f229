"""One training run from its job: resume, steps, validation, checkpoints, results."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from appo_core.config.lora import LoraSettings
from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import EXIT_TRANSIENT, Job, JobError, Reporter
from appo_core.merging.shards import read_shards
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines import EngineError, build_engine
from appo_core.rollout.runner import RolloutRunner
from appo_core.tools import build_tools
from appo_core.training import checkpoint
from appo_core.training.checkpoint import TrainState
from appo_core.training.collect import Collector
from appo_core.training.log import MetricsLog
from appo_core.training.lora import write_adapter
from appo_core.training.policy import Policy, load_policy, load_reference
from appo_core.training.prompts import Prompt, load_prompts
from appo_core.training.ranks import Ranks
from appo_core.training.trainer import Trainer
from appo_core.training.update import Updater, build_optimizer

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


@dataclass(frozen=True)
class Paths:
    """Where a run keeps what."""

    output: Path
    work: Path

    @property
    def checkpoints(self) -> Path:
        """Checkpoints to resume from."""
        return self.work / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """The checkpoint behind `step` steps."""
        return self.checkpoints / f"step_{step:06d}"

    def rollouts(self, step: int) -> Path:
        """The rollout dump of a step, counted from 1."""
        return self.work / "rollouts" / f"step_{step:06d}.jsonl"


def train(job: Job, reporter: Reporter) -> None:
    """Run or resume the training that `job` describes; blocks until it is done."""
    settings = RlSettings.model_validate(job.settings)
    ranks = Ranks.start()
    if settings.cpu_threads and ranks.device.type == "cpu":
        torch.set_num_threads(settings.cpu_threads)
    if settings.minibatch_prompts % ranks.world:
        raise JobError(
            f"rl.processes ({ranks.world}) must divide rl.minibatch_prompts ({settings.minibatch_prompts})",
            remedy="change one of the two",
        )
    try:
        asyncio.run(_train(job, settings, ranks, reporter))
    except EngineError as error:
        raise JobError(f"engine: {error}", remedy="see the log above", exit_code=EXIT_TRANSIENT) from error
    finally:
        ranks.stop()


async def _train(job: Job, settings: RlSettings, ranks: Ranks, reporter: Reporter) -> None:
    paths, model, data = Paths(job.output, job.work), job.input("model"), job.input("data")
    codec = Codec.load(model)
    prompts = load_prompts(data / "train.parquet", codec, settings.prompt, settings.limits)
    valid = load_prompts(data / "valid.parquet", codec, settings.prompt, settings.limits, required=False)
    policy = load_policy(
        model,
        ranks,
        precision=settings.precision,
        gradient_checkpointing=settings.gradient_checkpointing,
        adapter=settings.lora,
        seed=settings.seed,
    )
    updater = _updater(settings, policy, model, ranks)
    resumed = checkpoint.newest(paths.checkpoints)
    state = checkpoint.load(resumed, policy, updater.optimizer) if resumed else TrainState()
    if state.step and ranks.first:
        reporter.log(f"resuming behind step {state.step} of {settings.steps}")
    async with _runner(settings, model, codec, job.inputs.get("corpus")) as runner:
        trainer = Trainer(
            settings=settings,
            policy=policy,
            updater=updater,
            engine=runner.engine,
            collector=Collector(runner, codec, settings.reward),
            codec=codec,
            prompts=prompts,
            ranks=ranks,
            state=state,
        )
        await _loop(trainer, settings, valid, paths, reporter)
    if ranks.first:
        base = str(job.context.get("inputs", {}).get("model", model))
        _publishable(paths, model, trainer.state.step, settings.lora, base)
        reporter.result(**_summary(trainer, paths))


@asynccontextmanager
async def _runner(settings: RlSettings, model: Path, codec: Codec, corpus: Path | None) -> AsyncIterator[RolloutRunner]:
    """Tools and engine for rollouts; whatever was started is closed, also when the next part does not start."""
    limits = settings.limits
    async with AsyncExitStack() as held:
        tools = build_tools(settings.tools, corpus)
        for tool in tools.values():
            held.push_async_callback(tool.close)
        engine = build_engine(
            settings.engine,
            model,
            max_model_len=limits.max_prompt_tokens + limits.max_response_tokens,
            dtype=settings.precision,
            seed=settings.seed,
        )
        held.push_async_callback(engine.close)
        yield RolloutRunner(
            engine=engine,
            tools=tools,
            codec=codec,
            limits=limits,
            sampling=settings.sampling,
            max_in_flight=settings.engine.max_in_flight,
            seed=settings.seed,
        )


def _updater(settings: RlSettings, policy: Policy, model: Path, ranks: Ranks) -> Updater:
    reference = None
    if settings.algorithm.loss.kl_coefficient > 0:
        reference = load_reference(policy, model, ranks, precision=settings.precision)
    return Updater(
        policy,
        reference,
        build_optimizer(policy, settings.optimizer),
        settings.algorithm.loss,
        settings.optimizer,
        settings.micro_batch_tokens,
        ranks,
        settings.limits.max_response_tokens,
    )


async def _loop(trainer: Trainer, settings: RlSettings, valid: list[Prompt], paths: Paths, reporter: Reporter) -> None:
    first = trainer.ranks.first
    log = MetricsLog(paths.work, trainer.state.step) if first else None
    await trainer.sync_weights()
    if settings.validate_first and valid and not trainer.state.step:
        metrics = await trainer.validate(valid)
        if log:
            log.write(0, metrics)
            reporter.progress(0, settings.steps, unit="steps", **_shown(metrics))
    while not trainer.finished:
        number = trainer.state.step + 1
        began = time.perf_counter()
        dump = number % settings.dump_rollouts_every == 0
        metrics = await trainer.step(paths.rollouts(number) if dump else None)
        last = trainer.finished
        if valid and settings.validate_every and (number % settings.validate_every == 0 or last):
            metrics |= await trainer.validate(valid)
        metrics["seconds/step"] = time.perf_counter() - began
        if last or number % settings.save_every == 0:
            checkpoint.save(
                paths.checkpoint(number), trainer.policy, trainer.updater.optimizer, trainer.state, trainer.ranks
            )
            if first:
                checkpoint.prune(paths.checkpoints, settings.keep_checkpoints)
        if log:
            log.write(number, metrics)
            reporter.progress(number, settings.steps, unit="steps", **_shown(metrics))
    if log:
        log.close()


def _shown(metrics: dict[str, float]) -> dict[str, Any]:
    """The few metrics that stand beside a progress bar."""
    names = ("train/score", "train/correct", "branch/score", "validation/correct", "update/entropy", "seconds/step")
    return {name: round(metrics[name], 4) for name in names if name in metrics}


def _publishable(paths: Paths, model: Path, steps: int, lora: LoraSettings | None, base: str) -> None:
    """Lay the results out: shards or an adapter of `base`, model files, metrics, TensorBoard and rollouts."""
    last = paths.checkpoint(steps)
    target = paths.output / "checkpoint"
    if lora:
        write_adapter(target / "adapter", lora, read_shards(last / "model"), base)
    else:
        shutil.copytree(last / "model", target / "dcp", dirs_exist_ok=True)
    shutil.copy2(last / checkpoint.COMPLETE, target / "state.json")
    (target / "hf").mkdir(parents=True, exist_ok=True)
    for path in sorted({path for pattern in MODEL_FILES for path in model.glob(pattern)}):
        shutil.copy2(path, target / "hf" / path.name)
    shutil.copy2(paths.work / "metrics.jsonl", target / "metrics.jsonl")
    shutil.copytree(paths.work / "tensorboard", target / "tensorboard", dirs_exist_ok=True)
    if (paths.work / "rollouts").exists():
        shutil.copytree(paths.work / "rollouts", paths.output / "rollouts", dirs_exist_ok=True)


def _summary(trainer: Trainer, paths: Paths) -> dict[str, float]:
    import json

    rows = [json.loads(line) for line in (paths.work / "metrics.jsonl").read_text().splitlines()]
    merged: dict[str, float] = {}
    for row in rows:
        merged |= row
    names = ("train/score", "train/correct", "validation/score", "validation/correct")
    return {name: merged[name] for name in names if name in merged} | {
        "steps": trainer.state.step,
        "generated_tokens": trainer.state.tokens,
    }
