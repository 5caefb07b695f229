"""The stage environments: which Python runs a stage, and which lock file describes it."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Literal

from tasks.errors import StageError

EnvironmentName = Literal["orchestrator", "engine", "sft"]
ROOT = Path(__file__).parents[1]


def environment_python(name: EnvironmentName) -> Path:
    """The interpreter of an environment: `APPO_PYTHON_<NAME>`, else `.venvs/<name>`; raises `StageError`."""
    variable = f"APPO_PYTHON_{name.upper()}"
    chosen = os.environ.get(variable)
    own = Path(sys.executable) if name == "orchestrator" else ROOT / ".venvs" / name / "bin" / "python"
    path = Path(chosen) if chosen else own
    if not path.is_file():
        what = f"{variable}={path} does not exist" if chosen else f"the '{name}' environment is missing ({path})"
        raise StageError(what, remedy=f"run `make setup`, or set {variable} to its Python")
    return path


def environment_digest(name: EnvironmentName) -> str:
    """sha256 over the environment's lock files (every platform's), or an empty string where none is shipped."""
    locks = sorted((ROOT / "infra" / "environments").glob(f"{name}*.lock"))
    digest = hashlib.sha256()
    for lock in locks:
        digest.update(lock.read_bytes())
    return digest.hexdigest() if locks else ""
