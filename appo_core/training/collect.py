"""Rollouts with rewards: the asynchronous side of a training step."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from appo_core.config.rl import RewardSettings
from appo_core.config.rollout import SamplingSettings
from appo_core.rewards import RewardResult, score_response
from appo_core.rollout.codec import Codec
from appo_core.rollout.forks import Forks
from appo_core.rollout.runner import RolloutRunner
from appo_core.rollout.types import Finish, Trajectory
from appo_core.training.experience import Scored
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks


@dataclass(frozen=True)
class Collected:
    """Scored trajectories in the order asked for, and those left out."""

    rows: list[Scored]
    left_out: int
    """Failed trajectories and rewards without a verdict: never scored 0."""
    trajectories: list[Trajectory]
    """All of them, for accounting."""
    questions: dict[str, Prompt]
    """The prompts they answer, by group."""


class Collector:
    """Runs trajectories and scores each as soon as it ends, while others still run."""

    def __init__(self, runner: RolloutRunner, codec: Codec, reward: RewardSettings) -> None:
        self.runner, self.codec, self.reward = runner, codec, reward

    async def collect(
        self,
        starts: Sequence[Trajectory],
        questions: dict[str, Prompt],
        *,
        seed: int,
        sampling: SamplingSettings | None = None,
        forks: Forks | None = None,
    ) -> Collected:
        """Run `starts`, and what `forks` adds, and score them against the answer of the question of their group."""
        scoring: dict[str, asyncio.Task[RewardResult]] = {}

        def score_soon(done: Trajectory) -> None:
            if done.finish is not Finish.FAILED:
                scoring[done.uid] = asyncio.create_task(asyncio.to_thread(self._score, done, questions[done.group]))

        trajectories = await self.runner.run(starts, score_soon, sampling=sampling, seed=seed, forks=forks)
        rewards = {uid: await task for uid, task in scoring.items()}
        rows = [
            Scored(trajectory, rewards[trajectory.uid])
            for trajectory in trajectories
            if trajectory.uid in rewards and rewards[trajectory.uid].decided and any(trajectory.mask)
        ]
        return Collected(rows, len(trajectories) - len(rows), trajectories, questions)

    def _score(self, done: Trajectory, question: Prompt) -> RewardResult:
        return score_response(self.codec.decode(done.response_ids), question.gold, self.reward, question.kind)


def questions_by_group(prompts: Sequence[Prompt], ranks: Ranks) -> dict[str, Prompt]:
    """This rank's prompts by group, named after the place among those of all ranks.

    So names, and the seeds that follow from them, are unique in a step and do not depend on the number of ranks.
    """
    return {f"{place * ranks.world + ranks.rank}/{prompt.uid}": prompt for place, prompt in enumerate(prompts)}


def prompt_starts(questions: dict[str, Prompt], count: int, step: int) -> list[Trajectory]:
    """`count` bare starts per prompt; uids are unique in a run."""
    return [
        Trajectory(uid=f"{step}/{group}/{number}", group=group, prompt_ids=prompt.ids)
        for group, prompt in questions.items()
        for number in range(count)
    ]
