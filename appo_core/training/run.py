"""One training run from its job: resume, steps, validation, checkpoints, results."""

import asyncio
import errno
import time
from dataclasses import replace
from typing import Any

import torch

from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import EXIT_TRANSIENT, Job, JobError, Reporter
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines import EngineError
from appo_core.training import rng
from appo_core.training.assemble import policy_of, runner_of, updater_of
from appo_core.training.best import better
from appo_core.training.checkpoint import TrainState
from appo_core.training.collect import Collector
from appo_core.training.identity import run_identity
from appo_core.training.log import MetricsLog
from appo_core.training.paths import Paths
from appo_core.training.prompts import Prompt, load_prompts
from appo_core.training.publish import publish, summary
from appo_core.training.ranks import Ranks
from appo_core.training.resume import resume
from appo_core.training.saver import Saver
from appo_core.training.trainer import Trainer
from appo_core.viewing.produce import add_view

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a disk says that takes no more."""


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
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise JobError(
            f"{error.strerror}: {error.filename or job.work}",
            remedy="make room and start the run again: it resumes from its last whole checkpoint",
        ) from error
    finally:
        ranks.stop()


async def _train(job: Job, settings: RlSettings, ranks: Ranks, reporter: Reporter) -> None:
    paths, model, data = Paths(job.output, job.work), job.input("model"), job.input("data")
    codec = Codec.load(model)
    prompts = load_prompts(data / "train.parquet", codec, settings.prompt, settings.limits)
    valid = load_prompts(data / "valid.parquet", codec, settings.prompt, settings.limits, required=False)
    if settings.keep_best and not valid:
        raise JobError("rl.keep_best: there are no held-out prompts", remedy="add valid.parquet, or unset it")
    policy = policy_of(settings, model, ranks)
    updater = updater_of(settings, policy, model, ranks)
    identity = run_identity(settings, prompts)
    resumed = resume(paths.checkpoints, policy, updater.optimizer, prompts, ranks, identity=identity, log=reporter.log)
    async with runner_of(settings, model, codec, job.inputs.get("corpus")) as runner:
        trainer = Trainer(
            settings=settings,
            policy=policy,
            updater=updater,
            engine=runner.engine,
            collector=Collector(runner, codec, settings.reward),
            codec=codec,
            prompts=prompts,
            ranks=ranks,
            state=resumed.state,
        )
        trainer.pending = resumed.pending
        if resumed.state.noise_floor is not None:
            trainer.grower.noise_floor = resumed.state.noise_floor
        # Behind all that is built, which may draw.
        rng.seed_all(settings.seed, ranks)
        rng.restore(resumed.generators, ranks)
        with Saver(paths.checkpoints, ranks, keep=settings.keep_checkpoints, identity=identity) as saver:
            await _Course(trainer, saver, valid, paths, reporter).run()
    if ranks.first:
        base = str(job.context.get("inputs", {}).get("model", model))
        taken = publish(paths, model, settings, trainer.state, base)
        add_view(paths.output / "rollouts", model, job.context, reporter.log)
        reporter.result(**summary(paths, trainer.state, taken))


class _Course:
    """The steps of one run, with what happens between them."""

    def __init__(self, trainer: Trainer, saver: Saver, valid: list[Prompt], paths: Paths, reporter: Reporter) -> None:
        self.trainer, self.saver, self.valid, self.paths, self.reporter = trainer, saver, valid, paths, reporter
        self.settings = trainer.settings
        self.log = MetricsLog(paths.work, trainer.state.step) if trainer.ranks.first else None

    async def run(self) -> None:
        """All steps that are left."""
        done = self.trainer.state.step
        if done and self.log:
            self.reporter.log(f"resuming behind step {done} of {self.settings.steps}")
        await self.trainer.sync_weights()
        if self.settings.validate_first and self.valid and not done:
            self._tell(0, await self.trainer.validate(self.valid))
        while not self.trainer.finished:
            await self._step()
        if self.log:
            self.log.close()

    async def _step(self) -> None:
        settings, number = self.settings, self.trainer.state.step + 1
        began = time.perf_counter()
        dump = number % settings.dump_rollouts_every == 0
        metrics = await self.trainer.step(self.paths.rollouts(number) if dump else None)
        last, improved = self.trainer.finished, False
        if self.valid and settings.validate_every and (number % settings.validate_every == 0 or last):
            metrics |= await self.trainer.validate(self.valid)
            improved = self._improved(number, metrics)
        metrics["seconds/step"] = time.perf_counter() - began
        # The row first: a checkpoint whose step had no row would leave a gap in a resumed run's metrics.
        self._tell(number, metrics)
        self.saver.check()
        if last or improved or number % settings.save_every == 0:
            self.saver.start(self.trainer.policy, self.trainer.updater.optimizer, self._state(), self.trainer.pending)

    def _improved(self, number: int, metrics: dict[str, float]) -> bool:
        """Note a new best; whether there is one."""
        state, metric = self.trainer.state, self.settings.keep_best
        best = better(state.best, metric, number, metrics) if metric else None
        if best is not None:
            self.trainer.state = replace(state, best=best)
        return best is not None

    def _state(self) -> TrainState:
        return replace(self.trainer.state, noise_floor=self.trainer.grower.noise_floor)

    def _tell(self, number: int, metrics: dict[str, float]) -> None:
        if self.log:
            self.log.write(number, metrics)
            self.reporter.progress(number, self.settings.steps, unit="steps", **_shown(metrics))


def _shown(metrics: dict[str, float]) -> dict[str, Any]:
    """The few metrics that stand beside a progress bar."""
    names = ("train/score", "train/correct", "branch/score", "validation/correct", "update/entropy", "seconds/step")
    return {name: round(metrics[name], 4) for name in names if name in metrics}
