"""Small notes between flow runs on different machines, kept in the store: results, endpoints, leases.

A note is `runs/<flow run id>/<name>/<number>.json`; each post is a new number, so that a reader sees whole notes only.
"""

import json
from typing import Any
from uuid import uuid4

from appo_core.artifacts import Store

RESULT, ENDPOINT, LEASE = "result", "endpoint", "lease"


def post(store: Store, run: str, name: str, note: dict[str, Any]) -> None:
    """Leave a note; the newest one counts."""
    folder = _folder(run, name)
    number = len(store.backend.names(folder))
    body = json.dumps({**note, "_writer": uuid4().hex}).encode()
    while not store.backend.create(f"{folder}/{number:08d}.json", body):
        number += 1


def latest(store: Store, run: str, name: str) -> dict[str, Any] | None:
    """The newest note, or None."""
    folder = _folder(run, name)
    names = store.backend.names(folder)
    if not names:
        return None
    note: dict[str, Any] = json.loads(store.backend.read(f"{folder}/{names[-1]}"))
    note.pop("_writer", None)
    return note


def count(store: Store, run: str, name: str) -> int:
    """How many notes of that name there are."""
    return len(store.backend.names(_folder(run, name)))


def clear(store: Store, run: str) -> None:
    """Remove all notes of a run."""
    store.backend.remove(f"runs/{run}")


def _folder(run: str, name: str) -> str:
    return f"runs/{run}/{name}"
