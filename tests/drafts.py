"""Small artifacts for tests, and a publisher that can be killed halfway."""

import sys
from pathlib import Path
from typing import Any

from appo_core.artifacts import Draft, ParentRef, Store, stage_key
from appo_core.artifacts.local import LocalBackend


def make_draft(
    folder: Path,
    *,
    kind: str = "dataset",
    name: str = "demo",
    seed: int = 0,
    files: dict[str, bytes] | None = None,
    parents: tuple[ParentRef, ...] = (),
    **fields: Any,
) -> Draft:
    """A draft whose stage key depends on kind, name and seed; its files are written below `folder`."""
    root = folder / f"{kind}-{name}-{seed}"
    for path, body in (files or {"train.jsonl": b'{"id": 1}\n', "deep/er/empty": b""}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(body)
    key = stage_key(f"{kind}/{name}", "1", "0" * 64, {"seed": seed}, parents)
    return Draft(kind, name, key, root, parents, **fields)


def publish_and_hang(url: str, folder: Path, step: str) -> None:
    """Publishes to a file store, says so and hangs at `step` of it: `upload` or `manifest`. The caller kills it."""
    plain_upload, plain_create = LocalBackend.upload, LocalBackend.create

    def upload(self: LocalBackend, source: Path, key: str) -> tuple[int, str]:
        if step == "upload" and source.name == "z":
            _hang()
        return plain_upload(self, source, key)

    def create(self: LocalBackend, key: str, body: bytes) -> bool:
        if step == "manifest" and key.endswith("MANIFEST.json"):
            with self._temporary(key, body):
                _hang()
        return plain_create(self, key, body)

    LocalBackend.upload, LocalBackend.create = upload, create  # type: ignore[method-assign]
    Store.open(url).publish(make_draft(folder, files={"a": b"a" * 1000, "z": b"z"}))


def _hang() -> None:
    sys.stdout.write("hanging\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    publish_and_hang(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
