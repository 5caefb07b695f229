"""Local folders of the project: where artifacts, caches and Prefect's database lie unless told otherwise."""

import os
from pathlib import Path


def home() -> Path:
    """Where this project keeps local files: `APPO_HOME`, else `.appo` in the working directory."""
    return Path(os.environ.get("APPO_HOME", ".appo")).absolute()


def default_store() -> str:
    """URL of the store that is used when none is named: `APPO_STORE`, else a folder under `home()`."""
    return os.environ.get("APPO_STORE") or f"file://{home() / 'store'}"


def cache() -> Path:
    """Verified local copies of artifacts."""
    return home() / "cache"
