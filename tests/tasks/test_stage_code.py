"""Every module that a stage's job imports decides its stage key: nothing it runs is missing from its declaration."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import base_model, compare, data, evaluate, merge, rl, sft
from tasks.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
UNDECIDING = (
    "appo_core.config",
    "appo_core.artifacts",
    "appo_core.processes",
    "appo_core.process_guard",
    "appo_core.viewing",
)
"""Settings are in the key by value; the others carry and show results and run commands, and decide none."""
STAGES = [module.STAGE for module in (data, base_model, sft, rl, merge, evaluate, compare)]


def imported(module: str) -> set[str]:
    """All modules of appo_core that a module imports, also inside functions, transitively through deciding ones."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = source(name)
        if name in seen or path is None or inside(name, UNDECIDING):
            continue
        seen.add(name)
        waiting += names(ast.parse(path.read_text()))
    return seen


def source(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("appo_core"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("appo_core"):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_declares_all_code_its_job_imports(stage: Stage) -> None:
    used = {module for module in imported(stage.module) if not inside(module, UNDECIDING)}
    missing = {module for module in used if not inside(module, stage.code) and source(module).name != "__init__.py"}
    assert not missing, f"add to the code of tasks/{stage.name}.py: {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_declared_code_exists_and_has_a_digest(stage: Stage) -> None:
    assert len(stage.digest()) == 64
