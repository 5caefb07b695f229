"""What README and docs name exists: make targets, commands, options, presets, settings, variables, paths, pictures."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from appo_core.config import PipelineSettings
from appo_core.config.presets import _keys, load_preset, preset_names
from flows.cli.app import app
from flows.cli.run import FLOWS, parse_inputs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = ("appo_core/", "flows/", "tasks/", "infra/", "tests/", "docs/", ".ci/")
SETTINGS = frozenset(_keys(PipelineSettings))
GROUPS = tuple({key.split(".")[0] for key in SETTINGS if "." in key})
SHORT = ("branching", "advantage", "loss", "reward", "optimizer", "limits", "tools")
"""Groups of settings that the docs also name without what stands before them."""

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def blocks(text: str) -> list[str]:
    return re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def code(path: Path) -> list[str]:
    """Inline code, and every line of shell blocks with its continuations joined and its comment cut."""
    text = path.read_text()
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [re.split(r"\s#\s", line)[0].strip() for line in lines] + inline


def test_the_pages_are_there() -> None:
    names = {path.name for path in PAGES}
    assert names >= {"README.md", "architecture.md", "configuration.md", "operations.md", "algorithm.md", "security.md"}


@page
def test_make_targets(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found[1] for part in code(page) if (found := re.match(r"make ([a-z-]+)", part))}
    assert named <= targets


def commands(path: Path) -> Iterator[list[str]]:
    """Words of every `appo` command, `appo` itself left out."""
    for part in code(path):
        words = shlex.split(part) if re.match(r"appo( |$)", part) else []
        yield from [words[1:]] if len(words) > 1 else []


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and what is left of them."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


@page
def test_appo_commands(page: Path) -> None:
    for words in commands(page):
        if words[0].isupper():  # a placeholder
            continue
        command, rest = resolve(list(words))
        assert not hasattr(command, "commands"), f"appo {' '.join(words)}"
        if all(word.isupper() or word == "--help" for word in rest) or len(words) == 1:
            continue
        try:
            values = command.make_context("appo", list(rest)).params
        except click.ClickException as error:
            pytest.fail(f"appo {' '.join(words)}: {error.message}")
        check_values(words[0], values)


def check_values(command: str, values: dict[str, Any]) -> None:
    if command == "run":
        assert values["flow"] in FLOWS
        parse_inputs(values["flow"], [one.replace("NAME@VERSION", "x@latest") for one in values["inputs"] or ()])
        preset = values["preset"]
        load_preset("demo" if preset.endswith(".yaml") else preset, values["overrides"] or ())
    if command == "presets" and values["name"]:
        load_preset(values["name"], values["overrides"] or ())


@page
def test_settings(page: Path) -> None:
    pattern = re.compile(rf"({'|'.join((*GROUPS, *SHORT))})(\.[a-z_]+)+")
    for part in code(page):
        name = part.split("=")[0].strip()
        if pattern.fullmatch(name):
            short = name.startswith(SHORT)
            assert name in SETTINGS or (short and any(key.endswith(f".{name}") for key in SETTINGS)), name


def test_defaults_in_the_tables() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+) \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE)
    shown = {key: text for key, text in rows if key in SETTINGS}
    assert len(shown) > 60
    for key, text in shown.items():
        value: Any = PipelineSettings()
        for part in key.split("."):
            value = getattr(value, part)
        if isinstance(value, str | int | float | None):
            assert plain(text) == value, key


def plain(text: str) -> Any:
    """A table's value: JSON, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_every_preset_is_shown() -> None:
    for path in (ROOT / "README.md", ROOT / "docs/configuration.md"):
        assert set(preset_names()) - {"demo", "compare"} <= set(code(path))


@page
def test_variables(page: Path) -> None:
    source = "".join(file.read_text() for room in ("appo_core", "flows", "tasks", "infra") for file in python(room))
    for name in {
        name for part in code(page) for name in re.findall(r"\b(?:APPO|AWS)_[A-Z0-9_]+|\b[A-Z]+_API_KEY", part)
    }:
        known = re.search(rf"\b{name}\b", source) or (name.startswith("APPO_PYTHON_") and "APPO_PYTHON_" in source)
        assert known, name


def python(room: str) -> Iterator[Path]:
    return (ROOT / room).rglob("*.py")


@page
def test_paths(page: Path) -> None:
    for part in code(page):
        if part.startswith(ROOMS) and not re.search(r"[<*\s]", part):
            assert (ROOT / part).exists(), part
        elif found := re.fullmatch(r"appo_core(\.[a-z_]+)+(\.[A-Z]\w+)?", part.removesuffix(".<stage>")):
            module = ROOT / part.removesuffix(found[2] or "").replace(".", "/")
            assert module.is_dir() or module.with_suffix(".py").exists(), part


@page
def test_links_and_pictures(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
