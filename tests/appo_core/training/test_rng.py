"""Random generators: restored draws repeat; ranks differ."""

import json
import random

import numpy as np
import torch

from appo_core.training import rng
from appo_core.training.ranks import Ranks


def draws() -> list[float]:
    """Gaussian draws keep one number back for the next, in Python and in numpy."""
    return [random.gauss(0, 1), float(np.random.normal()), *torch.randn(3).tolist(), random.random()]


def of(rank: int, world: int = 2) -> Ranks:
    return Ranks(rank, world, torch.device("cpu"))


def test_draws_go_on_where_they_were_saved() -> None:
    rng.seed_all(3, of(1))
    draws()
    saved = json.loads(json.dumps([rng.snapshot(of(0)), rng.snapshot(of(1))]))
    wanted = [draws(), draws()]
    rng.seed_all(4, of(1))
    rng.restore(saved, of(1))
    assert [draws(), draws()] == wanted


def test_a_rank_that_was_not_there_keeps_its_own() -> None:
    rng.seed_all(3, of(1))
    wanted = draws()
    rng.seed_all(3, of(1))
    rng.restore([rng.snapshot(of(0))], of(1))
    assert draws() == wanted


def test_ranks_and_seeds_draw_differently() -> None:
    seen = []
    for seed, rank in ((1, 0), (1, 1), (2, 0)):
        rng.seed_all(seed, of(rank))
        seen += draws()
    assert len(set(seen)) == len(seen)
