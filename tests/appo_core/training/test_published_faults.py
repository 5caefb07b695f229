"""Faults of the published code that no other test here would show; docs/algorithm.md lists all of them.

Each test fails on code with the fault.
"""

import pytest
import torch

from appo_core.algorithm import branching_score, select_branch_points
from appo_core.config.algorithm import AdvantageSettings, AlgorithmSettings
from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.methods import method_class
from appo_core.rollout.codec import Codec
from appo_core.rollout.loop import run_trajectory
from appo_core.rollout.runner import RolloutRunner
from appo_core.rollout.types import Finish, Trajectory
from appo_core.training.credit import outcomes
from appo_core.training.experience import mask_tensor
from appo_core.training.packing import pack
from appo_core.training.step_metrics import rollout_metrics, rollout_sums
from tests.appo_core.rollout.scripted import ScriptedEngine, ScriptedTool, fresh
from tests.appo_core.training.made import branch_of, scored, trajectory


def appo(**advantage: object) -> object:
    return method_class("appo")(AlgorithmSettings(advantage=AdvantageSettings.model_validate(advantage)))


def advantages(branch_rewards: list[float], scores: list[float], **settings: object) -> torch.Tensor:
    """Two rollouts of five tokens, rewards 1 and 0; branches leave the first one at its middle."""
    rows = [scored(trajectory([1] * 5, number), reward) for number, reward in enumerate((1.0, 0.0))]
    branches = [
        scored(branch_of(rows[0].trajectory, 2, number, score), reward)
        for number, (reward, score) in enumerate(zip(branch_rewards, scores, strict=True))
    ]
    return appo(**settings).advantages(outcomes(rows, branches))  # type: ignore[attr-defined]


def test_odd4_odd12_the_reward_scale_has_an_effect() -> None:
    """ODD-4, ODD-12: branch scores and the scale's discount had no influence on training.

    Switched on, the scale raises the tokens at and before a branch point, more for a better score; not those behind.
    """
    plain = advantages([1.0, 0.0], [1.0, 0.5])
    scaled = advantages([1.0, 0.0], [1.0, 0.5], reward_scaling=True)
    weaker = advantages([1.0, 0.0], [1.0, 0.1], reward_scaling=True)
    assert (scaled[0, :3] > weaker[0, :3]).all()
    assert (weaker[0, :3] > plain[0, :3]).all()
    assert scaled[0, 3:].tolist() == plain[0, 3:].tolist()
    assert scaled[1].tolist() == plain[1].tolist()
    slower = advantages([1.0, 0.0], [1.0, 0.5], reward_scaling=True, reward_scale_discount=0.5)
    assert slower[0, 0] < scaled[0, 0]


def test_odd17_branches_that_fail_alike_say_nothing() -> None:
    """ODD-17: what rollouts earned themselves stays, whatever all of their branches have in common."""
    alone = advantages([], [])
    for reward in (-1.0, 0.0, 1.0):
        assert advantages([reward, reward], [1.0, 0.5]).tolist() == alone.tolist()


async def test_odd9_a_response_without_an_end_has_its_own_length(codec: Codec) -> None:
    """ODD-9: such a row was taken to reach to the end of its padding, reward included."""
    limits = LoopLimits(max_prompt_tokens=200, max_response_tokens=6)
    engine = ScriptedEngine(codec, ["a much longer text than six tokens can ever hold, or so one hopes"])
    cut = await run_trajectory(
        fresh(codec), engine=engine, tools={}, codec=codec, limits=limits, sampling=SamplingSettings()
    )
    assert (cut.finish, len(cut), cut.mask) == (Finish.LENGTH, 6, [1] * 6)
    ended = trajectory([1, 1], 1)
    assert mask_tensor([cut, ended]).sum(1).tolist() == [6, 2]
    metrics = rollout_metrics(rollout_sums([cut, ended]), 1.0)
    assert (metrics["rollout/response_tokens"], metrics["rollout/truncated"]) == (4.0, 0.5)


def test_odd10_end_tokens_inside_a_prompt_are_kept(codec: Codec) -> None:
    """ODD-10: where padding and end of sequence are one id, prompts lost their ends of turn. Nothing is padded here."""
    row = Trajectory("a", "g", [codec.eos_id, 5, codec.eos_id], [6, codec.eos_id], [1, 1], [-1.0, -1.0])
    (batch,) = pack([row, row], 100)
    assert batch.ids_T.tolist() == (row.prompt_ids + row.response_ids) * 2
    assert row.branch("b", 0, 1.0).prompt_ids == row.prompt_ids


def test_odd11_branch_points_are_spread_over_rollouts() -> None:
    """ODD-11: one rollout could take the whole budget with neighbouring tokens."""
    score_BL = torch.tensor([[9.0, 8.9, 8.8, 8.7], [0.1, 0.2, 0.3, 0.4]])
    points = select_branch_points(score_BL, score_BL > 0, torch.zeros(2), budget=4, min_distance=1)
    assert sorted((point.row, point.split) for point in points) == [(0, 0), (0, 2), (1, 1), (1, 3)]


async def test_odd13_prompt_and_response_stay_within_their_limits(codec: Codec) -> None:
    """ODD-13: prompts grew behind the length check. A prompt is never changed; results are cut to the room left."""
    start = fresh(codec)
    limits = LoopLimits(max_prompt_tokens=len(start.prompt_ids), max_response_tokens=40, max_result_tokens=500)
    engine = ScriptedEngine(codec, ["<search> a </search>"] * 5)
    tools = {"search": ScriptedTool("search", ["long " * 100] * 5)}
    done = await run_trajectory(
        start, engine=engine, tools=tools, codec=codec, limits=limits, sampling=SamplingSettings()
    )
    assert done.prompt_ids == start.prompt_ids
    assert len(done) == 40
    assert all(
        len(prompt) + params.max_tokens <= limits.max_prompt_tokens + 40
        for prompt, params in zip(engine.prompts, engine.params, strict=True)
    )


async def test_odd14_sampling_of_one_call_never_reaches_another(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    """ODD-14: parameters were changed in place, and a failing generation left them changed."""
    monkeypatch.setattr("appo_core.rollout.loop.BACKOFF_S", 0.0)
    engine = ScriptedEngine(codec, ["one", "two", "three"], failures=3)
    runner = RolloutRunner(
        engine=engine,
        tools={},
        codec=codec,
        limits=LoopLimits(max_prompt_tokens=200, max_response_tokens=50),
        sampling=SamplingSettings(temperature=1.0),
    )
    (failed,) = await runner.run([fresh(codec)], sampling=SamplingSettings(temperature=0.0))
    assert failed.finish is Finish.FAILED
    await runner.run([fresh(codec)])
    await runner.run([fresh(codec)], sampling=SamplingSettings(temperature=0.0))
    await runner.run([fresh(codec)])
    assert [params.temperature for params in engine.params] == [1.0, 0.0, 1.0]


def test_odd15_scoring_by_entropy_alone_is_fair_and_blind_to_results() -> None:
    """ODD-15: without a future value the first rollout took all branches, and injected tokens were candidates."""
    entropy_BL = torch.tensor([[1.0, 9.0, 1.0, 2.0], [1.0, 9.0, 1.0, 3.0], [1.0, 9.0, 2.0, 1.0]])
    mask_BL = torch.tensor([[True, False, True, True]] * 3)
    score_BL, candidate_BL = branching_score(entropy_BL, torch.ones(3, 4), mask_BL, mode="product")
    points = select_branch_points(score_BL, candidate_BL, torch.zeros(3), budget=3)
    assert sorted((point.row, point.split) for point in points) == [(0, 3), (1, 3), (2, 2)]
