"""Drawing tokens: filters against their definitions, frequencies against probabilities."""

import pytest
import torch

from appo_core.rollout.engines.base import SamplingParams
from appo_core.rollout.engines.sampling import draw, filtered, penalised

SCORES = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]).log()


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 5),
        ({"top_k": 2}, 2),
        ({"top_k": 99}, 5),
        ({"top_p": 0.5}, 1),
        ({"top_p": 0.51}, 2),
        ({"top_p": 0.95}, 4),
        ({"min_p": 0.2}, 3),
        ({"top_k": 4, "top_p": 0.9, "min_p": 0.1}, 3),
    ],
)
def test_filters_keep_the_likeliest(change: dict[str, float], kept: int) -> None:
    scores = filtered(SCORES, SamplingParams(max_tokens=1, **change))
    assert scores.isfinite().tolist() == [index < kept for index in range(5)]


def test_repetition_penalty() -> None:
    scores = penalised(torch.tensor([2.0, -2.0, 1.0]), 2.0, [0, 1, 1])
    assert scores.tolist() == [1.0, -4.0, 1.0]


def test_draws_follow_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    sampling = SamplingParams(max_tokens=1)
    counts = torch.zeros(5)
    for _ in range(4000):
        counts[draw(SCORES, sampling, [], generator)] += 1
    assert torch.allclose(counts / 4000, SCORES.exp(), atol=0.03)
    assert draw(SCORES, SamplingParams(max_tokens=1, temperature=0), [], generator) == 0
