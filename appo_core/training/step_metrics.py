"""What a step logs about its rollouts."""

from collections.abc import Sequence

from appo_core.rollout.types import Finish, Trajectory
from appo_core.training.experience import Scored


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def reward_metrics(rows: Sequence[Scored], prefix: str) -> dict[str, float]:
    """Means over scored rollouts."""
    return {
        f"{prefix}/score": _mean([row.reward.score for row in rows]),
        f"{prefix}/correct": _mean([float(row.reward.correct) for row in rows]),
        f"{prefix}/no_answer": _mean([float(row.reward.answer is None) for row in rows]),
        f"{prefix}/rollouts": float(len(rows)),
    }


def rollout_metrics(trajectories: Sequence[Trajectory], seconds: float) -> dict[str, float]:
    """Accounting of tokens, calls and waits."""
    # A branch inherits the calls of its prefix; its own end behind it.
    calls = [call for trajectory in trajectories for call in trajectory.tool_calls if call.end > _own_start(trajectory)]
    generated = sum(sum(t.mask[_own_start(t) :]) for t in trajectories)
    sent = sum(trajectory.prompt_tokens_sent for trajectory in trajectories)
    return {
        "rollout/generated_tokens": float(generated),
        "rollout/tokens_per_second": generated / seconds if seconds else 0.0,
        "rollout/response_tokens": _mean([float(len(trajectory)) for trajectory in trajectories]),
        "rollout/truncated": _mean([float(t.finish is Finish.LENGTH) for t in trajectories]),
        "rollout/failed": float(sum(t.finish is Finish.FAILED for t in trajectories)),
        "rollout/cached_share": sum(t.cached_tokens for t in trajectories) / sent if sent else 0.0,
        "tools/calls": float(len(calls)),
        "tools/failures": float(sum(call.failure is not None for call in calls)),
        "tools/refused": float(sum(call.refused for call in calls)),
        "tools/seconds": sum(call.seconds for call in calls),
    }


def _own_start(trajectory: Trajectory) -> int:
    return trajectory.prefix.split + 1 if trajectory.prefix else 0
