"""The parts of a run, built from its settings."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from appo_core.config.rl import RlSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines import build_engine
from appo_core.rollout.runner import RolloutRunner
from appo_core.tools import build_tools
from appo_core.training.policy import Policy, load_policy, load_reference
from appo_core.training.ranks import Ranks
from appo_core.training.update import Updater, build_optimizer


@asynccontextmanager
async def runner_of(
    settings: RlSettings, model: Path, codec: Codec, corpus: Path | None
) -> AsyncIterator[RolloutRunner]:
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


def policy_of(settings: RlSettings, model: Path, ranks: Ranks) -> Policy:
    """The policy that is trained."""
    return load_policy(
        model,
        ranks,
        precision=settings.precision,
        gradient_checkpointing=settings.gradient_checkpointing,
        adapter=settings.lora,
        seed=settings.seed,
    )


def updater_of(settings: RlSettings, policy: Policy, model: Path, ranks: Ranks) -> Updater:
    """Optimiser, loss and, where the loss wants one, reference model."""
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
