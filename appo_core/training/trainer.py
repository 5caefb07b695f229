"""The training loop: sample, branch, credit, update. One `Trainer` per rank.

With ``branching.when = minibatch`` (the paper) the points of a mini-batch are scored, and its branches sampled, by the
policy after the updates already made in this step; the first mini-batch of a step has no such updates, so its score is
entropy alone, and the spread its future value shows all the same is the noise floor between the two inference stacks.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from appo_core.config.rl import RlSettings
from appo_core.config.rollout import SamplingSettings
from appo_core.jobs.contract import JobError
from appo_core.methods import method_class
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import Engine
from appo_core.rollout.types import Trajectory
from appo_core.training.balance import balanced
from appo_core.training.checkpoint import TrainState
from appo_core.training.collect import Collected, Collector, prompt_starts, questions_by_group
from appo_core.training.credit import in_order, outcomes
from appo_core.training.dump import Credited, dump_rollouts
from appo_core.training.experience import Scored
from appo_core.training.growing import Grower, Grown, TokenScores
from appo_core.training.policy import Policy, full_weights
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks
from appo_core.training.sampling import Sampler
from appo_core.training.step_metrics import reward_metrics, rollout_metrics, rollout_sums
from appo_core.training.update import Updater


@dataclass
class _Record:
    """What one step has done so far: rows of all ranks, trajectories of this one."""

    dump: Path | None = None
    """Where its rollouts go, if anywhere."""
    rows: list[Scored] = field(default_factory=list)
    branches: list[Scored] = field(default_factory=list)
    credited: list[Credited] = field(default_factory=list)
    trajectories: list[Trajectory] = field(default_factory=list)
    updates: list[dict[str, float]] = field(default_factory=list)
    clock: dict[str, float] = field(default_factory=dict)
    confirmed: float | None = None
    """Mean difference between the log-probs of engine and trainer at the step's first update, in nats."""

    def spend(self, name: str, began: float) -> None:
        """Add the time since `began` to what `name` has taken."""
        self.clock[name] = self.clock.get(name, 0.0) + time.perf_counter() - began


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
        self.collector, self.ranks, self.state = collector, ranks, state
        self.method = method_class(settings.algorithm.name)(settings.algorithm)
        self.grower = Grower(settings, self.method.branches, policy, collector, codec, ranks)
        self.sampler = Sampler(settings, self.method, collector, prompts, ranks, len(self.grower.plain_V))
        self.pending: Collected | None = None
        """In `stale` mode: rollouts of the next step, sampled by the policy before this step."""
        self._record = _Record()

    @property
    def finished(self) -> bool:
        """All steps are done, or as many tokens generated as the run may."""
        budget = self.settings.max_generated_tokens
        return self.state.step >= self.settings.steps or (budget is not None and self.state.tokens >= budget)

    async def sync_weights(self) -> None:
        """Give the engine the policy's weights."""
        began = time.perf_counter()
        await self.engine.update_weights(full_weights(self.policy), self.state.weights_version)
        self._record.spend("sync", began)

    async def step(self, dump: Path | None) -> dict[str, float]:
        """One rollout-and-update step; returns its metrics, equal on all ranks."""
        record = self._record = _Record(dump)
        step, moved = self.state.step, self.pending is not None
        initial = await self._initial(step)
        record.trajectories += initial.trajectories
        planned = None
        if self.settings.algorithm.branching.when == "onpolicy":
            planned = await self._grow(initial.rows, initial.questions, moved=False)
        for part in self._minibatches(initial):
            if planned is None:
                grown = await self._grow(part, initial.questions, moved=moved or bool(record.updates))
            else:
                grown = planned.of(part)
            self._update(part, grown)
        await self.sync_weights()
        if dump is not None and self.ranks.first:
            dump_rollouts(dump, record.credited, self.sampler.prompts)
        return self._finish(initial.left_out)

    async def validate(self, prompts: list[Prompt]) -> dict[str, float]:
        """Scores of rollouts of held-out prompts, shared among the ranks."""
        mine = questions_by_group(prompts[self.ranks.rank :: self.ranks.world], self.ranks)
        collected = await self.collector.collect(
            prompt_starts(mine, self.settings.validate_samples, -1),
            mine,
            seed=self.settings.seed,
            sampling=SamplingSettings(temperature=self.settings.validate_temperature),
        )
        return reward_metrics(in_order(self.ranks.gather(collected.rows)), "validation")

    async def _initial(self, step: int) -> Collected:
        """The initial rollouts; in `stale` mode those sampled one step ago, while the next ones are sampled now."""
        if self.settings.algorithm.branching.when != "stale" or not self.method.branches:
            return await self._sample(step)
        current = self.pending or await self._sample(step)
        more = step + 1 < self.settings.steps
        self.pending = await self._sample(step + 1) if more else None
        return current

    async def _sample(self, step: int) -> Collected:
        began = time.perf_counter()
        collected = await self.sampler.sample(step)
        self._record.spend("rollout", began)
        return collected

    def _minibatches(self, initial: Collected) -> list[list[Scored]]:
        """Rows by mini-batch of prompts; every rank gets as many mini-batches."""
        size = self.settings.minibatch_prompts // self.ranks.world
        place = {group: index // size for index, group in enumerate(initial.questions)}
        parts: list[list[Scored]] = [[] for _ in range(len(initial.questions) // size)]
        for row in initial.rows:
            parts[place[row.trajectory.group]].append(row)
        return parts

    async def _grow(self, rows: list[Scored], questions: dict[str, Prompt], *, moved: bool) -> Grown:
        if not self.method.branches:
            return Grown()
        if moved:
            await self.sync_weights()
        began = time.perf_counter()
        grown = await self.grower.grow(rows, questions, self.state.step, moved=moved)
        self._record.trajectories += grown.trajectories
        self._record.spend("branch", began)
        return grown

    def _update(self, part: list[Scored], grown: Grown) -> None:
        """One optimiser update on the rows of all ranks, each of which takes a share of about as many tokens."""
        began = time.perf_counter()
        # Figures of single tokens are for the dump alone.
        scores = grown.scores if self._record.dump else {}
        gathered = self.ranks.gather((part, grown.branches, scores))
        rows, branches = in_order(each[0] for each in gathered), in_order(each[1] for each in gathered)
        advantage_BL = self.method.advantages(outcomes(rows, branches)).float()
        trajectories = [row.trajectory for row in rows]
        mine = balanced([len(row.prompt_ids) + len(row) for row in trajectories], self.ranks.world)[self.ranks.rank]
        update = self.updater.update(
            [trajectories[index] for index in mine], advantage_BL[mine], self.state.weights_version
        )
        self.state = replace(self.state, weights_version=self.state.weights_version + 1)
        self._record.spend("update", began)
        if self._record.confirmed is None:
            self._confirm(update["logprob_gap"])
        self._record.updates.append({f"update/{name}": value for name, value in update.items()} | grown.signal)
        self._note(rows, branches, advantage_BL, {uid: each for part in gathered for uid, each in part[2].items()})

    def _confirm(self, gap: float) -> None:
        """The engine's weights against a forward pass: at the first update of a step both are those that sampled."""
        self._record.confirmed = gap
        limit = self.settings.engine.max_logprob_gap
        # Rollouts of an earlier version, or through dropout, differ for another reason.
        exact = self.settings.algorithm.branching.when != "stale" and not (
            self.settings.lora and self.settings.lora.dropout
        )
        if exact and gap > limit:
            raise JobError(
                f"step {self.state.step + 1}: log-probs of the {self.settings.engine.kind} engine and of the trainer "
                f"differ by {gap:.3g} nats on average, more than rl.engine.max_logprob_gap ({limit:g})",
                remedy="the engine does not hold the policy's weights: try rl.engine.kind=transformers and report it",
            )

    def _note(
        self, rows: list[Scored], branches: list[Scored], advantage_BL: torch.Tensor, scores: dict[str, TokenScores]
    ) -> None:
        self._record.rows += rows
        self._record.branches += branches
        if self.ranks.first and self._record.dump:
            self._record.credited += [
                Credited(row, advantage_BL[place], scores.get(row.trajectory.uid)) for place, row in enumerate(rows)
            ] + [Credited(branch) for branch in branches]

    def _finish(self, left_out: int) -> dict[str, float]:
        record = self._record
        seconds = self.ranks.maximum(record.clock.get("rollout", 0.0) + record.clock.get("branch", 0.0))
        sums = {name: self.ranks.sum(value) for name, value in rollout_sums(record.trajectories).items()}
        tokens = int(sums["generated_tokens"])
        self.state = replace(self.state, step=self.state.step + 1, tokens=self.state.tokens + tokens)
        metrics = reward_metrics(record.rows, "train") | reward_metrics(record.branches, "branch")
        metrics |= rollout_metrics(sums, seconds) | {"train/left_out": self.ranks.sum(left_out)}
        metrics["rollout/total_tokens"] = float(self.state.tokens)
        metrics["engine/logprob_gap"] = record.confirmed or 0.0
        for name in sorted({name for update in record.updates for name in update}):
            values = [update[name] for update in record.updates if name in update]
            metrics[name] = sum(values) / len(values)
        return metrics | {f"seconds/{name}": seconds for name, seconds in record.clock.items()}
