"""What an interrupted run leaves behind, and whether it can be gone on with."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

_STATE = "trainer_state.json"
_FINGERPRINT = "fingerprint"


def fingerprint(arguments: dict[str, Any], files: list[Path]) -> str:
    """Digest over the training arguments and the content of `files`."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def prepare_run(run: Path, digest: str) -> int:
    """Clear `run`/train of what another configuration or a kill in mid-save left; the step that training resumes from.

    0 means a fresh start. The trainer writes a checkpoint's state file last: without it the checkpoint is incomplete.
    """
    train, mark = run / "train", run / _FINGERPRINT
    if not mark.exists() or mark.read_text() != digest:
        shutil.rmtree(train, ignore_errors=True)
    train.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest)
    for checkpoint in train.glob("checkpoint-*"):
        if not _complete(checkpoint):
            shutil.rmtree(checkpoint)
    for leftover in train.glob("*.safetensors*"):
        leftover.unlink()
    return max((int(path.name.rpartition("-")[2]) for path in train.glob("checkpoint-*")), default=0)


def _complete(checkpoint: Path) -> bool:
    try:
        return bool(json.loads((checkpoint / _STATE).read_text())["global_step"])
    except (OSError, ValueError, KeyError):
        return False
