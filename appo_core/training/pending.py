"""Rollouts that wait for the next step (`stale` branching), stored with a checkpoint as JSON lines.

The first line holds what belongs to all: groups in their order, how many rollouts were left out. Every other line is
one trajectory with its reward; none for one that was left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from appo_core.rewards import RewardResult
from appo_core.rollout.types import Trajectory
from appo_core.training.collect import Collected
from appo_core.training.experience import Scored
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks

_TRAJECTORY = TypeAdapter(Trajectory)
_REWARD = TypeAdapter(RewardResult)


def pending_lines(parts: Sequence[Collected]) -> Iterator[str]:
    """The lines for what all ranks (`parts`, in their order) hold."""
    groups = sorted((group for part in parts for group in part.questions), key=_place)
    yield json.dumps({"groups": groups, "left_out": sum(part.left_out for part in parts)})
    for part in parts:
        rewards = {row.trajectory.uid: asdict(row.reward) for row in part.rows}
        for trajectory in part.trajectories:
            yield json.dumps({"trajectory": asdict(trajectory), "reward": rewards.get(trajectory.uid)})


def load_pending(path: Path, prompts: Sequence[Prompt], ranks: Ranks) -> Collected:
    """This rank's share, on whatever number of ranks it was stored: the prompts it would have sampled itself."""
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    header: dict[str, Any] = json.loads(first)
    by_uid = {prompt.uid: prompt for prompt in prompts}
    trajectories, rows = [], []
    for line in lines:
        content = json.loads(line)
        if not _mine(content["trajectory"]["group"], ranks):
            continue
        trajectories.append(_TRAJECTORY.validate_python(content["trajectory"]))
        if content["reward"] is not None:
            rows.append(Scored(trajectories[-1], _REWARD.validate_python(content["reward"])))
    return Collected(
        rows=rows,
        left_out=header["left_out"] if ranks.first else 0,
        trajectories=trajectories,
        questions=_questions(header["groups"], by_uid, ranks),
    )


def _questions(groups: Sequence[str], by_uid: Mapping[str, Prompt], ranks: Ranks) -> dict[str, Prompt]:
    return {group: by_uid[group.partition("/")[2]] for group in groups if _mine(group, ranks)}


def _place(group: str) -> int:
    """A group is named after its place in the step and the uid of its prompt."""
    return int(group.partition("/")[0])


def _mine(group: str, ranks: Ranks) -> bool:
    return _place(group) % ranks.world == ranks.rank
