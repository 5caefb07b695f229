"""APPO reinforcement learning: a sharded checkpoint, and the rollouts it learned from."""

from tasks.prefect_task import stage_task
from tasks.stage import Output, Stage

STAGE = Stage(
    name="rl",
    version="1",
    environment="engine",
    code=(
        "appo_core.jobs.rl",
        "appo_core.jobs.contract",
        "appo_core.algorithm",
        "appo_core.methods",
        "appo_core.rollout",
        "appo_core.tools",
        "appo_core.rewards",
        "appo_core.training",
        "appo_core.merging.pickles",
        "appo_core.merging.shards",
    ),
    outputs=(
        Output("rollouts", "rollouts", folder="rollouts", suites=("rollouts",)),
        Output("checkpoint", "rl-checkpoint", folder="checkpoint"),
    ),
    roles=("model", "data"),
)
rl = stage_task(STAGE)
