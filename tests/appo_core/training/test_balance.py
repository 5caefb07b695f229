"""Rows dealt to ranks: everything once, loads within the rule's bound, the same answer on every rank."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from appo_core.training.balance import balanced

SIZES = st.lists(st.integers(0, 50), max_size=8)


@given(sizes=SIZES, ranks=st.integers(1, 4))
def test_every_row_once_in_order(sizes: list[int], ranks: int) -> None:
    shares = balanced(sizes, ranks)
    assert len(shares) == ranks
    assert sorted(index for share in shares for index in share) == list(range(len(sizes)))
    assert all(share == sorted(share) for share in shares)


@given(sizes=SIZES, ranks=st.integers(1, 3))
def test_the_largest_load_is_within_four_thirds_of_the_best(sizes: list[int], ranks: int) -> None:
    got = max(sum(sizes[index] for index in share) for share in balanced(sizes, ranks))
    best = min(
        max(sum(size for size, rank in zip(sizes, deal, strict=True) if rank == number) for number in range(ranks))
        for deal in itertools.product(range(ranks), repeat=len(sizes))
    )
    assert got <= (4 / 3 - 1 / (3 * ranks)) * best + 1e-9


def test_one_long_row_has_a_rank_for_itself() -> None:
    assert balanced([100, 10, 20, 30, 40], 2) == [[0], [1, 2, 3, 4]]
