"""A short RL run of the real trainer with the transformers engine, on a seeded model and questions made up here."""

import tempfile
import time
from pathlib import Path

import torch

from appo_core.bench.model import make_model, questions
from appo_core.bench.table import Figure
from appo_core.config.algorithm import AlgorithmSettings, LossSettings
from appo_core.config.model import TinyModel
from appo_core.config.rl import OptimizerSettings, RlSettings
from appo_core.config.rollout import EngineSettings, LoopLimits
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines import build_engine
from appo_core.rollout.runner import RolloutRunner
from appo_core.training.checkpoint import TrainState
from appo_core.training.collect import Collector
from appo_core.training.policy import load_policy
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks
from appo_core.training.trainer import Trainer
from appo_core.training.update import Updater, build_optimizer

STEPS = 2
SETTINGS = RlSettings(
    steps=STEPS,
    prompts_per_step=4,
    minibatch_prompts=2,
    micro_batch_tokens=4096,
    algorithm=AlgorithmSettings(rollouts_per_prompt=4, initial_rollouts=2, loss=LossSettings(kl_coefficient=0.0)),
    optimizer=OptimizerSettings(learning_rate=1e-4),
    limits=LoopLimits(max_prompt_tokens=256, max_response_tokens=64),
    engine=EngineSettings(kind="transformers", max_in_flight=16),
)


async def short_run(model: TinyModel, ranks: Ranks, settings: RlSettings = SETTINGS) -> list[Figure]:
    """Two steps with branches; raises `RuntimeError` when a rollout failed or an update was not finite."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        make_model(folder, model)
        codec = Codec.load(folder)
        limits = settings.limits
        room = limits.max_prompt_tokens + limits.max_response_tokens
        engine = build_engine(settings.engine, folder, max_model_len=room, dtype=settings.precision, seed=1)
        try:
            runner = RolloutRunner(
                engine=engine, tools={}, codec=codec, limits=limits, sampling=settings.sampling, max_in_flight=16
            )
            trainer = _trainer(settings, folder, codec, runner, ranks)
            await trainer.sync_weights()
            began = time.perf_counter()
            metrics = [await trainer.step(None) for _ in range(settings.steps)]
            seconds = time.perf_counter() - began
        finally:
            await engine.close()
    _require_sound(metrics)
    generated = sum(one["rollout/generated_tokens"] for one in metrics)
    return [
        Figure("steps", len(metrics), "steps"),
        Figure("updates", trainer.state.weights_version, "updates"),
        Figure("branches", sum(one["branch/rollouts"] for one in metrics), "trajectories"),
        Figure("whole run", generated / seconds, "generated tokens/s"),
    ]


def _trainer(settings: RlSettings, folder: Path, codec: Codec, runner: RolloutRunner, ranks: Ranks) -> Trainer:
    policy = load_policy(folder, ranks, precision=settings.precision, gradient_checkpointing=True)
    optimizer = build_optimizer(policy, settings.optimizer)
    updater = Updater(
        policy, None, optimizer, settings.algorithm.loss, settings.optimizer, settings.micro_batch_tokens, ranks
    )
    prompts = [
        Prompt(f"train-{number}", text, "none", "qa", codec.prompt_ids("Answer.", text))
        for number, text in enumerate(questions(8))
    ]
    return Trainer(
        settings=settings,
        policy=policy,
        updater=updater,
        engine=runner.engine,
        collector=Collector(runner, codec, settings.reward),
        codec=codec,
        prompts=prompts,
        ranks=ranks,
        state=TrainState(),
    )


def _require_sound(metrics: list[dict[str, float]]) -> None:
    for one in metrics:
        bad = [name for name, value in one.items() if not torch.isfinite(torch.tensor(value))]
        if bad or one["rollout/failed"] or one["update/skipped"]:
            raise RuntimeError(f"a step of the run is not sound: {bad or one}")
