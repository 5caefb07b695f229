"""The first phase of a step: rollouts of its prompts, as the method asks for them."""

from dataclasses import replace

from appo_core.config.rl import RlSettings
from appo_core.methods import Method
from appo_core.training.collect import Collected, Collector, prompt_starts, questions_by_group
from appo_core.training.prompts import Prompt, step_prompts
from appo_core.training.ranks import Ranks


class Sampler:
    """Samples one rank's share of a step; a pure function of step, settings and the engine's weights."""

    def __init__(
        self,
        settings: RlSettings,
        method: Method,
        collector: Collector,
        prompts: list[Prompt],
        ranks: Ranks,
        vocabulary: int,
    ) -> None:
        self.settings, self.method, self.collector = settings, method, collector
        self.prompts, self.ranks, self.vocabulary = prompts, ranks, vocabulary

    def questions(self, step: int, attempt: int = 0) -> dict[str, Prompt]:
        """This rank's share of the prompts of a step, the same number of every mini-batch; other ones per attempt."""
        seed = f"{self.settings.seed}/{attempt}" if attempt else self.settings.seed
        chosen = step_prompts(self.prompts, step, self.settings.prompts_per_step, seed)
        return questions_by_group(chosen[self.ranks.rank :: self.ranks.world], self.ranks)

    async def sample(self, step: int) -> Collected:
        """The initial rollouts of a step.

        A method that wants informative prompts only (dynamic sampling) has the others replaced, place by place, by
        prompts of the next attempt; what is uninformative in the last one stays.
        """
        collected = await self._rollouts(step, self.questions(step))
        for attempt in range(1, self.method.sampling_rounds):
            poor = self._uninformative(collected)
            if not poor:
                break
            groups = list(collected.questions)
            others = list(self.questions(step, attempt).items())
            more = await self._rollouts(step, dict(others[groups.index(group)] for group in poor))
            collected = _replaced(collected, poor, more)
        return collected

    async def _rollouts(self, step: int, questions: dict[str, Prompt]) -> Collected:
        return await self.collector.collect(
            prompt_starts(questions, self.method.initial_rollouts, step),
            questions,
            seed=self.settings.seed,
            forks=self.method.forks(self.settings.seed, self.vocabulary),
        )

    def _uninformative(self, collected: Collected) -> list[str]:
        rewards: dict[str, list[float]] = {group: [] for group in collected.questions}
        for row in collected.rows:
            rewards[row.trajectory.group].append(row.reward.score)
        return [group for group, scores in rewards.items() if not self.method.informative(scores)]


def _replaced(old: Collected, poor: list[str], new: Collected) -> Collected:
    """`old` with the prompts `poor` replaced, each in its place, by those of `new`; all trajectories stay counted."""
    instead = dict(zip(poor, new.questions.items(), strict=True))
    return replace(
        old,
        rows=[row for row in old.rows if row.trajectory.group not in instead] + new.rows,
        left_out=old.left_out + new.left_out,
        trajectories=old.trajectories + new.trajectories,
        questions=dict(instead.get(group, (group, prompt)) for group, prompt in old.questions.items()),
    )
