"""Advantages of every method against sums written out."""

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from appo_core.config.algorithm import AlgorithmSettings
from appo_core.methods import Outcomes, method_class, method_names

ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([-1.0, 0.0, 0.3, 1.0]), st.integers(0, 5)), max_size=12)


def outcomes(rows: list[tuple[int, float, int]]) -> Outcomes:
    """Rows of (group, reward, tokens); an injected token stands in front of each."""
    length = 1 + max((tokens for _, _, tokens in rows), default=0)
    mask_BL = torch.zeros(len(rows), length, dtype=torch.bool)
    for number, (_, _, tokens) in enumerate(rows):
        mask_BL[number, 1 : 1 + tokens] = True
    none = torch.zeros(0)
    return Outcomes(
        torch.tensor([reward for _, reward, _ in rows], dtype=torch.float64),
        torch.tensor([group for group, _, _ in rows], dtype=torch.long),
        mask_BL,
        none.double(),
        none.long(),
        none.long(),
        none.double(),
    )


def others(rows: list[tuple[int, float, int]], number: int) -> list[float]:
    return [reward for place, (group, reward, _) in enumerate(rows) if group == rows[number][0] and place != number]


def expected(name: str, rows: list[tuple[int, float, int]], number: int) -> float:
    group, reward, _ = rows[number]
    members = [r for g, r, _ in rows if g == group]
    match name:
        case "rloo":
            rest = others(rows, number)
            return reward - statistics.fmean(rest) if rest else 0.0
        case "dr_grpo":
            return reward - statistics.fmean(members)
        case "reinforce_pp":
            returns = [r for _, r, tokens in rows for _ in range(tokens)]
            deviation = statistics.pstdev(returns)
            return (reward - statistics.fmean(returns)) / deviation if deviation > 1e-9 else 0.0
        case _:
            deviation = statistics.pstdev(members)
            return (reward - statistics.fmean(members)) / deviation if deviation > 1e-9 else 0.0


@pytest.mark.parametrize("name", method_names())
@given(rows=ROWS)
def test_advantages(name: str, rows: list[tuple[int, float, int]]) -> None:
    made = outcomes(rows)
    advantage_BL = method_class(name)(AlgorithmSettings(name=name)).advantages(made)
    assert advantage_BL.shape == made.mask_BL.shape
    for number, (_, _, tokens) in enumerate(rows):
        if tokens:
            assert advantage_BL[number, 1].item() == pytest.approx(expected(name, rows, number), abs=1e-9)
        assert advantage_BL[number, 1 : 1 + tokens].unique().numel() <= 1
        assert not advantage_BL[number, 1 + tokens :].any()
        assert advantage_BL[number, 0] == 0


def test_leave_one_out_by_hand() -> None:
    made = outcomes([(0, 1.0, 1), (0, 0.0, 1), (0, 0.5, 1), (1, 1.0, 1)])
    advantage_BL = method_class("rloo")(AlgorithmSettings(name="rloo")).advantages(made)
    assert advantage_BL[:, 1].tolist() == pytest.approx([0.75, -0.75, 0.0, 0.0])


def test_dapo_keeps_prompts_whose_rewards_differ() -> None:
    method = method_class("dapo")(AlgorithmSettings(name="dapo", options={"sampling_rounds": 5}))
    assert method.sampling_rounds == 5
    assert [method.informative(rewards) for rewards in ([], [1.0], [1.0, 1.0], [1.0, 0.0])] == [
        False, False, False, True,
    ]  # fmt: skip
