"""Samples on disk: one JSON object a line, appended as samples finish, so that an interrupted run goes on."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, ValidationError

from appo_core.jobs.contract import JobError

Key = tuple[str, int]


class Call(BaseModel):
    """One tool call of a sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str
    argument: str
    output: str
    failure: str | None = None
    refused: bool = False
    seconds: float = 0.0


class Sample(BaseModel):
    """One answer to one question. Questions and reference answers are not repeated here: join by `id`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    sample: int
    seed: int
    response: str
    """The whole response, tool results included."""
    prediction: str
    """The final answer found in the response; empty without one."""
    finish: str
    """`eos`, `length`, `timeout` (the sample's time was up) or `failed`."""
    failure: str | None = None
    """Cause of `failed` and `timeout`."""
    tool_calls: tuple[Call, ...] = ()
    response_tokens: int = 0
    """Tokens of the response, tool results included."""
    generated_tokens: int = 0
    seconds: float = 0.0
    correct: bool | None = None
    """The verdict, once scored."""
    f1: float | None = None
    method: str | None = None
    """What decided: a rule's name, or `judge`."""

    @property
    def key(self) -> Key:
        """What identifies the sample inside its benchmark."""
        return self.id, self.sample

    @property
    def calls_made(self) -> int:
        """Tool calls that were not refused."""
        return sum(not call.refused for call in self.tool_calls)


class SampleLog:
    """The samples of one benchmark in a file that is only appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def finished(self) -> dict[Key, Sample]:
        """Samples of an earlier, interrupted run. A last line that was cut off is removed from the file."""
        if not self.path.exists():
            return {}
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        return {sample.key: sample for sample in parse_samples(whole.decode(), self.path)}

    def append(self, sample: Sample) -> None:
        """Write one finished sample; it survives the end of this process."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(sample.model_dump_json(exclude_none=True) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def parse_samples(text: str, source: Path) -> list[Sample]:
    """The samples of a file's text; raises `JobError` naming the line."""
    samples = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            samples.append(Sample.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise JobError(
                f"{source}, line {number}: {where or 'not JSON'}: {first['msg']}",
                remedy="delete this line and run again",
            ) from error
    return samples


def read_samples(path: Path) -> list[Sample]:
    """All samples of a file; raises `JobError`."""
    return parse_samples(path.read_text(encoding="utf-8"), path)


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Write scored samples to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(sample.model_dump_json(exclude_none=True) + "\n" for sample in samples)


def digest_input(value: Mapping[str, Any]) -> str:
    """Canonical JSON, for digests."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
