"""What a step logs about its rollouts."""

from collections.abc import Mapping, Sequence

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


def rollout_sums(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Accounting of tokens, calls and waits of one rank, to be summed over ranks."""
    # A branch inherits the calls of its prefix; its own end behind it.
    calls = [call for trajectory in trajectories for call in trajectory.tool_calls if call.end > _own_start(trajectory)]
    return {
        "trajectories": len(trajectories),
        "generated_tokens": sum(sum(t.mask[_own_start(t) :]) for t in trajectories),
        "response_tokens": sum(map(len, trajectories)),
        "truncated": sum(t.finish is Finish.LENGTH for t in trajectories),
        "failed": sum(t.finish is Finish.FAILED for t in trajectories),
        "prompt_tokens": sum(t.prompt_tokens_sent for t in trajectories),
        "cached_tokens": sum(t.cached_tokens for t in trajectories),
        "engine_wait_seconds": sum(t.generate_seconds for t in trajectories),
        "tool_wait_seconds": sum(t.tool_seconds for t in trajectories),
        "calls": len(calls),
        "call_failures": sum(call.failure is not None for call in calls),
        "calls_refused": sum(call.refused for call in calls),
        "call_seconds": sum(call.seconds for call in calls),
    }


def rollout_metrics(sums: Mapping[str, float], seconds: float) -> dict[str, float]:
    """What a step logs of its rollouts, from sums over all ranks and the wall time of sampling."""
    count = max(sums["trajectories"], 1.0)
    return {
        "rollout/generated_tokens": sums["generated_tokens"],
        "rollout/tokens_per_second": sums["generated_tokens"] / seconds if seconds else 0.0,
        "rollout/response_tokens": sums["response_tokens"] / count,
        "rollout/truncated": sums["truncated"] / count,
        "rollout/failed": sums["failed"],
        "rollout/cached_share": sums["cached_tokens"] / sums["prompt_tokens"] if sums["prompt_tokens"] else 0.0,
        "rollout/engine_wait_seconds": sums["engine_wait_seconds"],
        "rollout/tool_wait_seconds": sums["tool_wait_seconds"],
        "tools/calls": sums["calls"],
        "tools/failures": sums["call_failures"],
        "tools/refused": sums["calls_refused"],
        "tools/seconds": sums["call_seconds"],
    }


def _own_start(trajectory: Trajectory) -> int:
    return trajectory.prefix.split + 1 if trajectory.prefix else 0
