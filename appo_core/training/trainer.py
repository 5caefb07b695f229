"""The APPO loop: sample, score, branch, credit, update. One `Trainer` per rank.

With ``branching.when = minibatch`` (the paper) the points of a mini-batch are scored, and its branches sampled, by the
policy after the updates already made in this step; the first mini-batch of a step has no such updates, so its score is
entropy alone, and the spread its future value shows all the same is the noise floor between the two inference stacks.
"""

import time
from dataclasses import replace
from pathlib import Path

import torch

from appo_core.config.rl import RlSettings
from appo_core.config.rollout import SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine
from appo_core.rollout.types import Trajectory
from appo_core.training.branching import branch_starts, plain_tokens, plan_branches
from appo_core.training.checkpoint import TrainState
from appo_core.training.collect import Collected, Collector, prompt_starts, questions_by_group
from appo_core.training.credit import token_advantages
from appo_core.training.dump import Credited, dump_rollouts
from appo_core.training.experience import Scored
from appo_core.training.policy import Policy, full_weights, score
from appo_core.training.prompts import Prompt, step_prompts
from appo_core.training.ranks import Ranks
from appo_core.training.step_metrics import reward_metrics, rollout_metrics
from appo_core.training.update import Updater

NOISE_MARGIN = 2.0
"""A rollout carries signal when its future value spreads this much beyond what equal policies show."""


class Trainer:
    """Everything one rank needs to train; `step` runs one step, `validate` scores held-out prompts."""

    def __init__(
        self,
        *,
        settings: RlSettings,
        policy: Policy,
        updater: Updater,
        engine: Engine,
        collector: Collector,
        codec: Codec,
        prompts: list[Prompt],
        ranks: Ranks,
        state: TrainState,
    ) -> None:
        self.settings, self.policy, self.updater, self.engine = settings, policy, updater, engine
        self.collector, self.prompts, self.ranks, self.state = collector, prompts, ranks, state
        self._plain_V = plain_tokens(codec)
        self._noise_floor = settings.algorithm.branching.noise_floor
        self._pending: Collected | None = None
        self._clock: dict[str, float] = {}

    async def sync_weights(self) -> None:
        """Give the engine the policy's weights."""
        began = time.perf_counter()
        await self.engine.update_weights(full_weights(self.policy), self.state.weights_version)
        self._spend("sync", began)

    async def step(self, dump: Path | None) -> dict[str, float]:
        """One rollout-and-update step; returns its metrics (equal on all ranks where they are sums over ranks)."""
        self._clock = {}
        step = self.state.step
        questions = self._questions(step)
        moved = self._pending is not None
        initial = await self._initial(step, questions)
        metrics: list[dict[str, float]] = []
        branches, credited = [], []
        planned = None
        if self.settings.algorithm.branching.when == "onpolicy":
            planned = await self._branch(initial.rows, questions, step, moved=False)
        for part in self._minibatches(initial.rows, questions):
            if planned is None:
                grown, score_BL, signal = await self._branch(part, questions, step, moved=moved or bool(metrics))
            else:
                grown, score_BL, signal = _own_branches(part, initial.rows, planned)
            advantage_BL = token_advantages(part, grown, self.settings.algorithm.advantage)
            began = time.perf_counter()
            update = self.updater.update([row.trajectory for row in part], advantage_BL, self.state.weights_version)
            self._spend("update", began)
            self.state = replace(self.state, weights_version=self.state.weights_version + 1)
            metrics.append({f"update/{name}": value for name, value in update.items()} | signal)
            branches += grown
            if dump is not None:
                credited += [
                    Credited(row, advantage_BL[place], score_BL[place] if score_BL is not None else None)
                    for place, row in enumerate(part)
                ] + [Credited(branch, None, None) for branch in grown]
        await self.sync_weights()
        if dump is not None:
            self._dump(dump, credited)
        return self._finish(initial, branches, metrics)

    async def validate(self, prompts: list[Prompt]) -> dict[str, float]:
        """Greedy rollouts of held-out prompts, shared among the ranks."""
        mine = questions_by_group(prompts[self.ranks.rank :: self.ranks.world], self.ranks)
        greedy = SamplingSettings(temperature=0.0)
        collected = await self.collector.collect(
            prompt_starts(mine, 1, -1), mine, seed=self.settings.seed, sampling=greedy
        )
        rows = [row for part in self.ranks.gather(collected.rows) for row in part]
        return reward_metrics(rows, "validation")

    @property
    def _stale(self) -> bool:
        return self.settings.algorithm.branching.when == "stale"

    def _questions(self, step: int) -> dict[str, Prompt]:
        """This rank's share of a step's prompts: the same number of every mini-batch."""
        chosen = step_prompts(self.prompts, step, self.settings.prompts_per_step, self.settings.seed)
        return questions_by_group(chosen[self.ranks.rank :: self.ranks.world], self.ranks)

    async def _initial(self, step: int, questions: dict[str, Prompt]) -> Collected:
        """The initial rollouts; in `stale` mode those sampled one step ago, while the next ones are sampled now."""
        if not self._stale:
            return await self._sample(step, questions)
        current = self._pending or await self._sample(step, questions)
        more = step + 1 < self.settings.steps
        self._pending = await self._sample(step + 1, self._questions(step + 1)) if more else None
        return current

    async def _sample(self, step: int, questions: dict[str, Prompt]) -> Collected:
        began = time.perf_counter()
        algorithm = self.settings.algorithm
        count = algorithm.initial_rollouts if algorithm.branches_per_prompt else algorithm.rollouts_per_prompt
        collected = await self.collector.collect(
            prompt_starts(questions, count, step), questions, seed=self.settings.seed
        )
        self._spend("rollout", began)
        return collected

    def _minibatches(self, rows: list[Scored], questions: dict[str, Prompt]) -> list[list[Scored]]:
        """Rows by mini-batch of prompts; every rank gets as many mini-batches."""
        size = self.settings.minibatch_prompts // self.ranks.world
        place = {group: index // size for index, group in enumerate(questions)}
        parts: list[list[Scored]] = [[] for _ in range(len(questions) // size)]
        for row in rows:
            parts[place[row.trajectory.group]].append(row)
        return parts

    async def _branch(
        self, rows: list[Scored], questions: dict[str, Prompt], step: int, *, moved: bool
    ) -> tuple[list[Scored], torch.Tensor | None, dict[str, float]]:
        """Branches of `rows`, their branching scores and the signal's metrics. `moved`: pi is not mu any more."""
        algorithm = self.settings.algorithm
        if not algorithm.branches_per_prompt:
            return [], None, {}
        if moved:
            await self.sync_weights()
        began = time.perf_counter()
        trajectories = [row.trajectory for row in rows]
        logp_BL, entropy_BL = score(self.policy, trajectories, self.settings.micro_batch_tokens, self.ranks)
        plan = plan_branches(
            trajectories,
            logp_BL,
            entropy_BL,
            settings=algorithm.branching,
            budget=algorithm.branches_per_prompt,
            max_response_tokens=self.settings.limits.max_response_tokens,
            plain_V=self._plain_V,
            noise_floor=self._noise_floor if moved else torch.inf,
        )
        if not moved:
            self._noise_floor = max(algorithm.branching.noise_floor, NOISE_MARGIN * plan.mean_spread)
        self._spend("score", began)
        began = time.perf_counter()
        grown = await self.collector.collect(
            branch_starts(trajectories, plan.points), questions, seed=self.settings.seed + step + 1
        )
        self._spend("branch", began)
        local = {
            "branching/points": float(len(plan.points)) * self.ranks.world,
            "branching/signal_share": plan.signal_share,
            "branching/spread": plan.mean_spread,
            "branching/noise_floor": self._noise_floor,
        }
        signal = {name: self.ranks.sum(value) / self.ranks.world for name, value in local.items()}
        return grown.rows, plan.score_BL, signal

    def _dump(self, path: Path, rows: list[Credited]) -> None:
        gathered = self.ranks.gather(rows)
        if self.ranks.first:
            dump_rollouts(path, (row for part in gathered for row in part))

    def _finish(self, initial: Collected, branches: list[Scored], updates: list[dict[str, float]]) -> dict[str, float]:
        trajectories: list[Trajectory] = initial.trajectories + [row.trajectory for row in branches]
        everyone = [trajectory for part in self.ranks.gather(trajectories) for trajectory in part]
        seconds = self.ranks.maximum(self._clock.get("rollout", 0.0) + self._clock.get("branch", 0.0))
        rollouts = rollout_metrics(everyone, seconds)
        tokens = int(rollouts["rollout/generated_tokens"])
        self.state = replace(self.state, step=self.state.step + 1, tokens=self.state.tokens + tokens)
        metrics = reward_metrics([row for part in self.ranks.gather(initial.rows) for row in part], "train")
        metrics |= reward_metrics([row for part in self.ranks.gather(branches) for row in part], "branch")
        metrics |= rollouts | {"train/left_out": self.ranks.sum(initial.left_out)}
        for name in sorted({name for update in updates for name in update}):
            values = [update[name] for update in updates if name in update]
            metrics[name] = sum(values) / len(values)
        return metrics | {f"seconds/{name}": seconds for name, seconds in self._clock.items()}

    def _spend(self, name: str, began: float) -> None:
        self._clock[name] = self._clock.get(name, 0.0) + time.perf_counter() - began


def _own_branches(
    part: list[Scored],
    rows: list[Scored],
    planned: tuple[list[Scored], torch.Tensor | None, dict[str, float]],
) -> tuple[list[Scored], torch.Tensor | None, dict[str, float]]:
    """The branches that left the rows of one mini-batch, and these rows' scores, from a plan made for the step."""
    branches, score_BL, signal = planned
    uids = {row.trajectory.uid for row in part}
    mine = [branch for branch in branches if branch.trajectory.prefix and branch.trajectory.prefix.origin in uids]
    if score_BL is not None:
        score_BL = score_BL[[index for index, row in enumerate(rows) if row.trajectory.uid in uids]]
    return mine, score_BL, signal
