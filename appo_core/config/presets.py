"""Presets: settings of a whole chain as YAML files, with `a.b=c` overrides on top."""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from appo_core.config.pipeline import PipelineSettings

FOLDER = Path(__file__).parents[2] / "infra" / "presets"
"""Where the shipped presets lie."""


class PresetError(ValueError):
    """A preset, or an override of it, that cannot be used; the message is one line with the remedy."""


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys, which plain YAML lets the last one win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key '{twice[0]}' stands twice in one mapping", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


def preset_names() -> list[str]:
    """Names of the shipped presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_preset(name_or_path: str, overrides: Sequence[str] = ()) -> PipelineSettings:
    """Settings of a shipped preset, or of a YAML file, with `a.b=c` overrides applied in order.

    Values of overrides are YAML, so `[a, b]`, `true` and `null` mean what they mean in the file. Raises `PresetError`.
    """
    path = _locate(name_or_path)
    document = _read(path)
    for override in overrides:
        document = _override(document, override)
    try:
        return PipelineSettings.model_validate(document)
    except ValidationError as error:
        raise PresetError(explain(error, document, name_or_path)) from None


def preset_summary(name: str) -> str:
    """The first comment line of a shipped preset: what it is for."""
    first = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip()


def explain(error: ValidationError, document: Mapping[str, Any], source: str) -> str:
    """One line for the first fault: the key, what is expected there, and close matches for a misspelt key."""
    first = error.errors()[0]
    where = _dotted(first["loc"], document)
    if first["type"] == "extra_forbidden":
        return f"{source}: unknown key '{where}'{_suggest(where, _keys(PipelineSettings))}"
    if first["type"] == "missing":
        return f"{source}: key '{where}' is missing; give it with --set {where}=VALUE"
    message = first["msg"].removeprefix("Value error, ")
    given = first["input"] if isinstance(first["input"], str | int | float | bool) else None
    shown = f" (given: {given!r})" if given is not None else ""
    return f"{source}: key '{where}': {message[0].lower()}{message[1:]}{shown}"


def _locate(name_or_path: str) -> Path:
    """The file of a preset; raises `PresetError` with close matches."""
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        if not path.is_file():
            raise PresetError(f"preset file {path} does not exist; give a YAML file or one of {_choices()}")
        return path
    if name_or_path not in preset_names():
        raise PresetError(f"unknown preset '{name_or_path}'{_suggest(name_or_path, preset_names())}")
    return FOLDER / f"{name_or_path}.yaml"


def _read(path: Path) -> dict[str, Any]:
    """The document of one file, on top of the preset it `extends`."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PresetError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise PresetError(f"{path}: expected keys and values at the top, found {type(document).__name__}")
    parent = document.pop("extends", None)
    return _merge(_read(_locate(parent)), document) if parent else document


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` on top of `below`, mapping by mapping. A mapping of another `kind` replaces the one below it."""
    if "kind" in above and above["kind"] != below.get("kind"):
        return dict(above)
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _override(document: Mapping[str, Any], override: str) -> dict[str, Any]:
    """The document with one `a.b=c` applied."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise PresetError(f"--set {override}: expected KEY=VALUE with a dotted key, for example rl.steps=20")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise PresetError(f"--set {override}: the value is not valid YAML; quote it") from None
    nested: Any = value
    for part in reversed(parts):
        nested = {part: nested}
    return _merge(document, nested)


def _dotted(location: tuple[int | str, ...], document: Any) -> str:
    """The key as the user writes it: a union's tag, which pydantic puts into the location, is left out."""
    parts: list[str] = []
    for position, part in enumerate(location):
        tag = isinstance(document, Mapping) and document.get("kind") == part and position < len(location) - 1
        if tag:
            continue
        parts.append(str(part))
        document = document.get(part) if isinstance(document, Mapping) else None
    return ".".join(parts)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key a preset may hold."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for inner in _models(field.annotation):
            yield from _keys(inner, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings models an annotation names, through unions and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for argument in typing.get_args(annotation):
            yield from _models(argument)


def _suggest(name: str, known: Sequence[str] | Iterator[str]) -> str:
    """`; did you mean ...?`, or the choices when nothing is close."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if not close:
        parent = name.rpartition(".")[0]
        siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == parent]
        return f"; choose from {', '.join(siblings)}" if siblings else ""
    return f"; did you mean {' or '.join(close)}?"


def _choices() -> str:
    return ", ".join(preset_names())
