"""Branch plans over trajectories with injected results; credit; dumps."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from appo_core.algorithm import BranchPoint, future_value
from appo_core.config.algorithm import AdvantageSettings, AlgorithmSettings, BranchingSettings
from appo_core.methods import method_class
from appo_core.rollout.codec import Codec
from appo_core.rollout.inject import result_ids
from appo_core.rollout.types import ToolCall, Trajectory
from appo_core.training.branching import BranchPlan, branch_starts, plain_tokens, plan_branches
from appo_core.training.credit import outcomes
from appo_core.training.dump import Credited, dump_rollouts
from appo_core.training.experience import Scored, behaviour_tensor, group_tensor, mask_tensor, reward_tensor
from appo_core.training.growing import TokenScores
from tests.appo_core.algorithm.oracles import group_z
from tests.appo_core.training.made import batch, branch_of, scored, trajectory

FREE = BranchingSettings(min_distance=0, min_room=1)


def response(codec: Codec, number: int = 0, *, result: str = "30 m") -> Trajectory:
    """Text, a call, its injected result, more text and the end: with made-up log-probs of the sampling policy."""
    before = codec.encode("<think> first look it up </think> <search> height of the tower </search>")
    injected = result_ids(codec, result, 100)
    after = [*codec.encode("<answer> What is 12 times 30? </answer>"), codec.eos_id]
    mask = [1] * len(before) + [0] * len(injected) + [1] * len(after)
    row = trajectory(mask, number)
    row.response_ids = before + injected + after
    row.tool_calls = [ToolCall("search", "q", result, None, refused=False, end=len(before), seconds=0.0)]
    return row


def plan(
    rows: list[Trajectory],
    codec: Codec,
    entropy_BL: Tensor,
    *,
    moved: float = 0.5,
    budget: int = 4,
    limit: int = 10_000,
    settings: BranchingSettings = FREE,
    floor: float = 1e-4,
) -> BranchPlan:
    """A plan under a policy whose log-probs have moved at random by about `moved`."""
    torch.manual_seed(5)
    now_BL = behaviour_tensor(rows) + moved * torch.randn(entropy_BL.shape)
    return plan_branches(
        rows,
        now_BL,
        entropy_BL,
        settings=settings,
        budget=budget,
        max_response_tokens=limit,
        plain_V=plain_tokens(codec),
        noise_floor=floor,
    )


def entropies(rows: list[Trajectory], seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return torch.rand(mask_tensor(rows).shape) * mask_tensor(rows)


def test_odd1_injected_tokens_neither_branch_nor_shift_what_follows(codec: Codec) -> None:
    """ODD-1: the published code shifted log-probs and entropies left by the injected tokens.

    A long and a short result between the same tokens must give the same scores, points and future values.
    """
    short, long = response(codec, result="30 m"), response(codec, result="The tower is 30 m high. " * 5)
    kept = [mask_tensor([row])[0] for row in (short, long)]
    long.behaviour_logprobs = torch.zeros(len(long)).masked_scatter(
        kept[1], torch.tensor(short.behaviour_logprobs)[kept[0]]
    ).tolist()  # fmt: skip
    values = torch.rand(2, int(kept[0].sum()), generator=torch.Generator().manual_seed(1))
    plans, futures = [], []
    for row, keep in zip((short, long), kept, strict=True):
        shape = (1, len(row))
        entropy_BL = torch.full(shape, 99.0).masked_scatter(keep[None], values[0])
        now_BL = torch.full(shape, 7.0).masked_scatter(keep[None], -6 + values[1] / 20)
        futures.append(future_value(now_BL, behaviour_tensor([row]), keep[None], gamma=0.99, clip=0.2)[0, keep])
        plans.append(
            plan_branches(
                [row],
                now_BL,
                entropy_BL,
                settings=FREE,
                budget=3,
                max_response_tokens=10_000,
                plain_V=plain_tokens(codec),
                noise_floor=1e-4,
            )
        )
    torch.testing.assert_close(futures[0], futures[1])
    torch.testing.assert_close(plans[0].score_BL[0, kept[0]], plans[1].score_BL[0, kept[1]])
    assert plans[0].points
    for one, other in zip(plans[0].points, plans[1].points, strict=True):
        assert int(kept[0][: one.split].sum()) == int(kept[1][: other.split].sum())
        assert short.mask[one.split] == long.mask[other.split] == 1
    assert plans[0].signal_share == plans[1].signal_share == 1


def test_odd3_without_signal_entropy_decides(codec: Codec) -> None:
    """ODD-3: equal policies must not branch at the first tokens."""
    row = response(codec)
    entropy_BL = torch.linspace(0, 1, len(row))[None] * mask_tensor([row])
    quiet = plan([row], codec, entropy_BL, moved=0.0, budget=2)
    assert (quiet.signal_share, quiet.mean_spread) == (0, 0)
    plain_V = plain_tokens(codec)
    open_places = [t for t, m in enumerate(row.mask) if m and plain_V[row.response_ids[t]]]
    assert [point.split for point in quiet.points] == open_places[-1:-3:-1]
    assert plan([row], codec, entropy_BL, moved=0.5, floor=torch.inf).points == plan(
        [row], codec, entropy_BL, moved=0.0
    ).points  # fmt: skip


def test_odd8_end_blanks_punctuation_and_specials_never_branch(codec: Codec) -> None:
    """ODD-8: the end of sequence was a legal branch point."""
    plain_V = plain_tokens(codec)
    assert not plain_V[codec.eos_id]
    for text in (" ", "\n", ".", "?", "<|im_start|>", "<|endoftext|>"):
        for token in codec.encode(text):
            assert not plain_V[token], text
    for text in ("tower", "3"):
        assert plain_V[codec.encode(text)].all()
    row = response(codec)
    entropy_BL = torch.zeros(1, len(row))
    entropy_BL[0, -1] = 50.0
    assert all(point.split != len(row) - 1 for point in plan([row], codec, entropy_BL, moved=0.0, budget=99).points)


@given(seed=st.integers(0, 50), limit=st.integers(1, 60), room=st.integers(1, 12), distance=st.integers(0, 5))
def test_every_point_can_be_branched_from(codec: Codec, seed: int, limit: int, room: int, distance: int) -> None:
    """Room is left, points are generated tokens, apart from each other, within budget, and never the end (ODD-7)."""
    rows = [response(codec, number) for number in range(3)]
    rows[2].group = "other"
    settings = BranchingSettings(min_room=room, min_distance=distance)
    points = plan(rows, codec, entropies(rows, seed), limit=limit, settings=settings, budget=2).points
    for point in points:
        assert rows[point.row].mask[point.split] == 1
        assert rows[point.row].response_ids[point.split] != codec.eos_id
        assert limit - (point.split + 1) >= room
    assert sum(point.row < 2 for point in points) <= 2
    assert sum(point.row == 2 for point in points) <= 2


def test_odd7_rows_without_candidates_are_no_error(codec: Codec) -> None:
    """ODD-7: a prompt without branch points aborted the published run."""
    assert plan([], codec, torch.zeros(0, 0)).points == []
    short = trajectory([1])
    short.response_ids = [codec.eos_id]
    assert plan([short], codec, torch.ones(1, 1)).points == []
    rows = [response(codec), short]
    rows[1].group = "lonely"
    assert {point.row for point in plan(rows, codec, entropies(rows)).points} == {0}


def test_ids_beyond_the_tokenizer_are_no_branch_points(codec: Codec) -> None:
    """A model's vocabulary may be padded beyond its tokenizer's, and a token from there may be sampled."""
    row = response(codec)
    row.response_ids[1] = len(codec.tokenizer) + 60
    entropy_BL = torch.zeros(1, len(row))
    entropy_BL[0, 1] = 9.0
    assert all(point.split != 1 for point in plan([row], codec, entropy_BL, moved=0.0).points)


def test_branches_start_from_their_origin(codec: Codec) -> None:
    row = response(codec)
    call_end = row.tool_calls[0].end
    starts = branch_starts([row], [BranchPoint(0, call_end + 30, 2.0), BranchPoint(0, 2, 1.0)])
    assert len({start.uid for start in starts}) == 2
    for start, calls in zip(starts, (1, 0), strict=True):
        assert start.prefix is not None
        cut = start.prefix.split + 1
        assert start.response_ids == row.response_ids[:cut]
        assert len(start.mask) == len(start.behaviour_logprobs) == len(start.response_ids)
        assert len(start.tool_calls) == calls
        assert start.prefix.origin == row.uid


def token_advantages(rows: list[Scored], branches: list[Scored], settings: AdvantageSettings) -> Tensor:
    method = method_class("appo")(AlgorithmSettings(advantage=settings))
    return method.advantages(outcomes(rows, branches)).float()


def test_advantages_credit_the_tokens_before_each_branch() -> None:
    rows = [scored(trajectory([1, 1, 0, 0, 1, 1], number), reward) for number, reward in enumerate((1.0, 0.0, 0.0))]
    branches = [
        scored(branch_of(rows[0].trajectory, 4, 0), 1.0),
        scored(branch_of(rows[0].trajectory, 1, 1), 0.0),
        scored(branch_of(rows[2].trajectory, 0, 2), 0.0),
    ]
    own, branch = group_z([1.0, 0.0, 0.0], [0, 0, 0]), group_z([1.0, 0.0, 0.0], [0, 0, 0])
    both = (branch[0] + branch[1]) / 2
    expected = [
        [own[0] + both, own[0] + both, 0, 0, own[0] + branch[0], own[0]],
        [own[1], own[1], 0, 0, own[1], own[1]],
        [own[2] + branch[2], own[2], 0, 0, own[2], own[2]],
    ]
    got = token_advantages(rows, branches, AdvantageSettings())
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float32))
    alone = token_advantages(rows, branches, AdvantageSettings(dual_group=False))
    torch.testing.assert_close(alone, token_advantages(rows, [], AdvantageSettings()))
    scaled = token_advantages(rows, branches, AdvantageSettings(reward_scaling=True))
    assert scaled[0, 4] == pytest.approx(2 * expected[0][4] - expected[0][4] / 2, rel=1e-5)
    assert scaled[1].tolist() == got[1].tolist()


def test_advantages_of_nothing() -> None:
    assert token_advantages([], [], AdvantageSettings()).shape == (0, 0)


def test_experience_tensors_are_padded_behind() -> None:
    rows = batch(4)
    mask_BL, behaviour_BL = mask_tensor(rows), behaviour_tensor(rows)
    for number, row in enumerate(rows):
        assert mask_BL[number].int().tolist() == row.mask + [0] * (mask_BL.shape[1] - len(row))
        assert behaviour_BL[number, : len(row)].tolist() == pytest.approx(row.behaviour_logprobs)
        assert not behaviour_BL[number, len(row) :].any()
    assert group_tensor(rows).tolist() == [0, 1, 0, 1]
    assert group_tensor([]).dtype == torch.long
    assert reward_tensor([scored(rows[0], 0.1)]).tolist() == [0.1]


def test_dump_holds_aligned_rows(tmp_path: Path) -> None:
    rows = batch(2)
    branch = branch_of(rows[0], 0)
    length = mask_tensor(rows).shape[1]
    values_L = torch.arange(float(length))
    path = tmp_path / "rollouts" / "step_000001.jsonl"
    dump_rollouts(
        path,
        [
            Credited(scored(rows[0], 1.0), values_L, TokenScores(values_L / 3, values_L / 2, values_L / 4)),
            Credited(scored(rows[1], 0.0), values_L),
            Credited(scored(branch, 0.5)),
        ],
    )
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    assert first["advantages"] == list(range(len(rows[0])))
    assert first["branching_scores"] == [round(t / 3, 5) for t in range(len(rows[0]))]
    assert first["entropies"] == [round(t / 2, 5) for t in range(len(rows[0]))]
    assert first["future_values"] == [round(t / 4, 5) for t in range(len(rows[0]))]
    assert (first["kind"], second["branching_scores"], third["kind"], third["advantages"]) == (
        "init", None, "branch", None,
    )  # fmt: skip
    assert third["prefix"] == {"origin": rows[0].uid, "split": 0, "score": 1.0}
    assert second["tool_calls"][0]["tool"] == "search"
    assert list(path.parent.iterdir()) == [path]
