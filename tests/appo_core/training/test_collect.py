"""Collecting scored rollouts: in order, failures and empty rows left out, names independent of the number of ranks."""

import torch

from appo_core.config.rl import RewardSettings
from appo_core.config.rollout import LoopLimits, SamplingSettings
from appo_core.rollout.codec import Codec
from appo_core.rollout.runner import RolloutRunner
from appo_core.rollout.types import Finish
from appo_core.training.collect import Collector, prompt_starts, questions_by_group
from appo_core.training.prompts import Prompt
from appo_core.training.ranks import Ranks
from appo_core.training.step_metrics import reward_metrics, rollout_metrics, rollout_sums
from tests.appo_core.rollout.scripted import ScriptedEngine, ScriptedTool
from tests.appo_core.training.made import batch, branch_of, scored

RIGHT = "<think> so </think> <answer> \\boxed{360} </answer>"
WRONG = "<think> so </think> <answer> \\boxed{7} </answer>"


def prompt(codec: Codec, uid: str = "train-0") -> Prompt:
    return Prompt(uid, "q", "360", "math", codec.prompt_ids("", "q"))


async def test_rollouts_are_scored_in_order_and_failures_left_out(codec: Codec, alone: Ranks) -> None:
    """A trajectory whose tool breaks is never scored 0, and never fills its group."""
    call = "<think> so </think> <search> it </search>"
    engine = ScriptedEngine(codec, [RIGHT, WRONG, call])
    tools = {"search": ScriptedTool("search", [RuntimeError("down")])}
    runner = RolloutRunner(
        engine=engine,
        tools=tools,
        codec=codec,
        limits=LoopLimits(max_prompt_tokens=200, max_response_tokens=200),
        sampling=SamplingSettings(),
        max_in_flight=1,
    )
    questions = questions_by_group([prompt(codec)], alone)
    collected = await Collector(runner, codec, RewardSettings()).collect(
        prompt_starts(questions, 3, step=0), questions, seed=1
    )
    assert [row.reward.score for row in collected.rows] == [1.0, 0.0]
    assert [row.trajectory.uid for row in collected.rows] == ["0/0/train-0/0", "0/0/train-0/1"]
    assert collected.left_out == 1
    assert [row.finish for row in collected.trajectories] == [Finish.EOS, Finish.EOS, Finish.FAILED]


def test_groups_are_named_alike_on_any_number_of_ranks(codec: Codec, alone: Ranks) -> None:
    """A prompt that comes twice in a step makes two groups, also when two ranks hold it."""
    prompts = [prompt(codec, uid) for uid in ("a", "a", "b", "a")]
    whole = questions_by_group(prompts, alone)
    assert list(whole) == ["0/a", "1/a", "2/b", "3/a"]
    shares = [questions_by_group(prompts[rank::2], Ranks(rank, 2, torch.device("cpu"))) for rank in range(2)]
    assert {**shares[0], **shares[1]} == whole
    assert not shares[0].keys() & shares[1].keys()
    uids = [start.uid for start in prompt_starts(whole, 3, step=7)]
    assert len(set(uids)) == 12


def test_rollout_metrics_count_a_branch_s_own_tokens_and_calls_once() -> None:
    rows = batch(2)
    branch = branch_of(rows[1], len(rows[1]) - 1)
    assert branch.tool_calls
    metrics = rollout_metrics(rollout_sums([*rows, branch]), seconds=2.0)
    assert metrics["rollout/generated_tokens"] == sum(sum(row.mask) for row in rows) + 2
    assert metrics["rollout/tokens_per_second"] == metrics["rollout/generated_tokens"] / 2
    assert metrics["tools/calls"] == 1
    assert rollout_metrics(rollout_sums([]), 0.0)["rollout/response_tokens"] == 0


def test_reward_metrics_are_means() -> None:
    rows = [scored(row, score) for row, score in zip(batch(2), (1.0, -1.0), strict=True)]
    assert reward_metrics(rows, "train") == {
        "train/score": 0.0,
        "train/correct": 0.5,
        "train/no_answer": 0.0,
        "train/rollouts": 2.0,
    }
    assert reward_metrics([], "train")["train/rollouts"] == 0
