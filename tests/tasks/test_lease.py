"""Notes and leases between flow runs."""

from pathlib import Path
from threading import Thread

import pytest

from appo_core.artifacts import Store
from tasks.lease import LeaseWatch, held
from tasks.mailbox import ENDPOINT, LEASE, clear, post, read, stamp


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"file://{tmp_path / 'store'}")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_note_counts_and_notes_can_be_cleared(store: Store) -> None:
    assert read(store, "run", ENDPOINT) is None
    assert stamp(store, "run", ENDPOINT) is None
    post(store, "run", ENDPOINT, {"base_url": "a"})
    first = stamp(store, "run", ENDPOINT)
    post(store, "run", ENDPOINT, {"base_url": "a"})
    assert read(store, "run", ENDPOINT) == {"base_url": "a"}
    assert stamp(store, "run", ENDPOINT) != first
    clear(store, "run")
    assert read(store, "run", ENDPOINT) is None


def test_writers_of_one_note_do_not_lose_each_other(store: Store) -> None:
    threads = [Thread(target=post, args=(store, "run", LEASE, {"number": number})) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (read(store, "run", LEASE) or {})["number"] in range(8)


def test_a_held_lease_is_renewed_and_then_released(store: Store) -> None:
    watch = LeaseWatch(store, "run", lease_s=60)
    with held(store, "run", lease_s=0.05):
        first = stamp(store, "run", LEASE)
        assert watch.over() is None
        while stamp(store, "run", LEASE) == first:
            pass
    assert watch.over() == "released"


def test_a_lease_lapses_by_the_watchers_clock_alone(store: Store) -> None:
    clock = Clock()
    watch = LeaseWatch(store, "run", lease_s=60, clock=clock)
    post(store, "run", LEASE, {"released": False})
    assert watch.over() is None
    clock.now = 59
    assert watch.over() is None
    post(store, "run", LEASE, {"released": False})
    clock.now = 100
    assert watch.over() is None
    clock.now = 161
    assert watch.over() == "its holder has gone"


def test_a_lease_nobody_ever_took_lapses_too(store: Store) -> None:
    clock = Clock()
    watch = LeaseWatch(store, "run", lease_s=60, clock=clock)
    clock.now = 61
    assert watch.over() == "its holder has gone"
