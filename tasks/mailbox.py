"""Small notes between flow runs on different machines, kept in the store: results, endpoints, leases."""

import json
from typing import Any
from uuid import uuid4

from appo_core.artifacts import Store

RESULT, ENDPOINT, LEASE = "result", "endpoint", "lease"
_TOKEN = "_token"  # noqa: S105 - makes every state of a note unique


def post(store: Store, run: str, name: str, note: dict[str, Any]) -> None:
    """Leave a note for or from a flow run; it replaces an older one of that name. Raises `StoreError`."""
    key = _key(run, name)
    body = json.dumps({**note, _TOKEN: uuid4().hex}).encode()
    while not store.backend.create(key, body):
        _, tag = store.backend.read_tagged(key)
        if store.backend.swap(key, body, tag):
            return


def read(store: Store, run: str, name: str) -> dict[str, Any] | None:
    """A note, or None; raises `StoreError`."""
    found = _load(store, run, name)
    return None if found is None else {key: value for key, value in found.items() if key != _TOKEN}


def stamp(store: Store, run: str, name: str) -> str | None:
    """A text that changes whenever a note is left again, or None without one; raises `StoreError`."""
    found = _load(store, run, name)
    return None if found is None else str(found[_TOKEN])


def clear(store: Store, run: str) -> None:
    """Remove all notes of a flow run."""
    store.backend.remove(f"runs/{run}")


def _load(store: Store, run: str, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(store.backend.read(_key(run, name)))
    except FileNotFoundError:
        return None
    return found


def _key(run: str, name: str) -> str:
    return f"runs/{run}/{name}.json"
