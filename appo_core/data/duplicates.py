"""Repeated questions."""

from collections.abc import Iterable


def first_copies(keyed: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Ids of repeated rows, each with the id of the first row that has the same key; from (id, key) pairs. Linear."""
    first: dict[str, str] = {}
    copies = {}
    for name, key in keyed:
        origin = first.setdefault(key, name)
        if origin != name:
            copies[name] = origin
    return copies
