import re

import pytest

from appo_core.environments import ENVIRONMENTS, GPU_ENVIRONMENTS, ROOT
from infra.lock import LOCKS, pins

FOLDER = ROOT / "infra" / "environments"


def read(name: str) -> str:
    return (FOLDER / f"{name}.lock").read_text()


def test_every_lock_has_an_input_and_every_environment_a_lock() -> None:
    assert {path.stem for path in FOLDER.glob("*.lock")} == set(LOCKS)
    assert {*ENVIRONMENTS, *(f"{name}-gpu" for name in GPU_ENVIRONMENTS)} <= set(LOCKS)
    parts = {part for parts in LOCKS.values() for part in parts}
    assert all((FOLDER / f"{part}.overrides").is_file() for part in parts)
    assert all((FOLDER / f"{name}.in").is_file() for name in LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_hash_and_no_place_is_named(name: str) -> None:
    lock = read(name)
    entries = re.split(r"\n(?=[a-z0-9])", lock)[1:]
    assert len(entries) == len(pins(lock)) > 0
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|find-links|index-url| @ |/", re.sub(r"#.*", "", lock))


def test_only_the_gpu_locks_hold_cuda() -> None:
    for name in GPU_ENVIRONMENTS:
        assert "torch==2.13.0+cpu" in pins(read(name))
        assert "torch==2.13.0" in pins(read(f"{name}-gpu"))
        assert not [pin for pin in pins(read(name)) if pin.startswith(("nvidia-cu", "triton"))]
        assert [pin for pin in pins(read(f"{name}-gpu")) if pin.startswith("nvidia-cu")]


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.overrides")))
def test_overrides_say_why(name: str) -> None:
    assert (FOLDER / name).read_text().startswith("# Left out")


def test_pins_are_read_without_hashes_and_comments() -> None:
    assert pins("# a==0\nb==1 \\\n    --hash=sha256:x\n    # via c==2\nd==3+cpu ; x\n") == {"b==1", "d==3+cpu"}
