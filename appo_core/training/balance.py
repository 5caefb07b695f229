"""Rows dealt to ranks so that each has about the same number of tokens."""

import heapq
from collections.abc import Sequence


def balanced(sizes: Sequence[int], ranks: int) -> list[list[int]]:
    """Indices of `sizes` per rank: the largest first, each to the rank that has least (LPT rule).

    The largest sum is at most 4/3 of the best possible one. Ties go to the lower index, so that every rank computes
    the same answer. Indices of a rank are ascending.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0, rank) for rank in range(ranks)]
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(index)
        heapq.heappush(loads, (load + sizes[index], rank))
    return [sorted(share) for share in shares]
