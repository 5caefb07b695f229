"""A Python with PyTorch, transformers and pydantic and nothing else: what a borrowed GPU machine may have."""

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

WANTED = ("torch", "transformers", "pydantic")


def closure(names: tuple[str, ...]) -> set[str]:
    """The distributions and everything they require here, extras left out."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        wanted = (Requirement(line) for line in requires)
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def make_bare(folder: Path) -> dict[str, str]:
    """Link those distributions into `folder`; the environment variables with which `bare_python` finds them alone."""
    for name in sorted(closure(WANTED)):
        one = distribution(name)
        for top in {file.parts[0] for file in one.files or () if file.parts[0] not in ("..", "__pycache__")}:
            source, target = Path(str(one.locate_file(top))), folder / top
            if source.exists() and not target.exists():
                target.symlink_to(source)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return kept | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def bare_python() -> str:
    """The interpreter below the virtual environment."""
    return os.path.realpath(sys.executable)
