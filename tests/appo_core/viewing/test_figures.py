"""What a prompt comes to, and which prompts are shown."""

import math

import pytest

from appo_core.viewing.figures import Figures, brief, choose_prompts, figures
from tests.appo_core.viewing.dumps import branch, parsed, row

CALL = {"tool": "search", "end": 1}
RIGHT = row("r", "one two three", correct=True, reward=1.0)
WRONG = row("w", "one two three", correct=False, reward=0.0, tool_calls=[CALL])


def sums(*rows: dict[str, object]) -> Figures:
    return figures([brief(one) for one in parsed(*rows)])


def test_turns_are_counted_against_the_origin() -> None:
    found = sums(
        RIGHT,
        WRONG,
        branch("w1", WRONG, 1, correct=True, reward=1.0),
        branch("w2", WRONG, 2, correct=False),
        branch("r1", RIGHT, 1, correct=False),
        branch("r2", RIGHT, 2, correct=True, reward=1.0),
    )
    assert (found.rescued, found.stayed_wrong, found.lost, found.stayed_right) == (1, 1, 1, 1)
    assert (found.initial, found.branches, found.correct, found.branch_correct) == (2, 4, 1, 2)
    assert (found.mean, found.branch_mean) == (0.5, 0.5)
    assert found.spread == pytest.approx(0.5)


def test_what_a_branch_inherited_is_counted_once() -> None:
    inherited = sums(WRONG, branch("w1", WRONG, 1, " x", tool_calls=[CALL]))
    assert inherited.calls == 1
    assert inherited.tokens == len(WRONG["response_ids"]) + len(branch("w1", WRONG, 1, " x")["response_ids"]) - 2


def test_missing_and_broken_rewards_spoil_no_mean() -> None:
    found = sums(RIGHT, row("x", reward=None, finish="failed"), row("y", reward=math.nan))
    assert (found.mean, found.spread, found.failed) == (1.0, 0.0, 1)
    assert sums(row("x", reward=None)).mean is None


def test_the_telling_prompts_come_first_and_ordinary_ones_are_among_them() -> None:
    plain = {f"plain{number}": sums(row("a", reward=0.1), row("b", reward=0.1)) for number in range(20)}
    spread = {"spread": sums(RIGHT, WRONG)}
    branched = {"branched": sums(WRONG, branch("w2", WRONG, 2))}
    turned = {"turned": sums(WRONG, branch("w1", WRONG, 1, correct=True, reward=1.0))}
    chosen = choose_prompts(plain | spread | branched | turned, 9)
    assert chosen[:3] == ["turned", "branched", "spread"]
    assert len(chosen) == len(set(chosen)) == 9
    assert choose_prompts(plain, 100) == list(plain)
    assert choose_prompts(plain | turned, 1) == ["turned"]
