"""A tokenizer, a scripted server and a reporter that remembers."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.appo_core.evaluation.scripted_server import ScriptedServer, build_tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(tokenizer_folder))


@pytest.fixture
def serve(tokenizer: Any) -> Callable[..., AbstractContextManager[ScriptedServer]]:
    """`with serve(answer, **options) as server`."""
    return lambda answer, **options: ScriptedServer(tokenizer, answer, **options).running()


@pytest.fixture
def boxed() -> Callable[[str], str]:
    """A well-formed response with `answer` in its box."""
    return lambda answer: f"<think> known </think> <answer> \\[ \\boxed{{{answer}}} \\] </answer>"


@dataclass
class EventLog:
    """A reporter that keeps what it is told."""

    results: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    progresses: list[tuple[float, float]] = field(default_factory=list)

    def progress(self, current: float, total: float, **details: Any) -> None:
        self.progresses.append((current, total))

    def log(self, message: str) -> None:
        self.logs.append(message)

    def result(self, **metrics: Any) -> None:
        self.results.append(metrics)


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def write_rows() -> Callable[[Path, list[Mapping[str, Any]]], Path]:
    """Write rows as a benchmark file."""

    def write(path: Path, rows: list[Mapping[str, Any]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write
