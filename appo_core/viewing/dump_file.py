"""A step's dump as rows that are known to be whole; every fault is one line with its remedy."""

import json
import re
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from appo_core.jobs.contract import JobError

_STEP = re.compile(r"^step_(\d+)\.jsonl$")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Call(_Record):
    """A tool call; `end` is the response index at which its result was injected."""

    tool: str
    end: int
    failure: str | None = None
    refused: bool = False
    malformed: bool = False
    seconds: float = 0.0

    @property
    def problem(self) -> str | None:
        """Why the model got no result of the tool; None when it did."""
        if self.failure:
            return f"failed: {self.failure}"
        return "not run: call limit reached" if self.refused else "not run: malformed call" if self.malformed else None


class Origin(_Record):
    """Where a branch left which trajectory: it keeps that one's response tokens 0..split."""

    origin: str
    split: int
    score: float = 0.0


class DumpRow(_Record):
    """One trajectory of a dump.

    Per-token lists have the response's length; None where a method has no such figure.
    """

    uid: str
    group: str
    prompt_ids: list[int]
    response_ids: list[int]
    mask: list[int]
    behaviour_logprobs: list[float]
    tool_calls: list[Call] = []
    finish: str
    failure: str | None = None
    prefix: Origin | None = None
    weights_version: int = 0
    reward: float | None = None
    correct: bool | None = None
    reason: str = ""
    answer: str | None = None
    advantages: list[float] | None = None
    branching_scores: list[float] | None = None
    entropies: list[float] | None = None
    future_values: list[float] | None = None
    question: str = ""
    gold: str = ""

    @model_validator(mode="after")
    def _aligned(self) -> "DumpRow":
        length = len(self.response_ids)
        for name in PER_TOKEN:
            values = getattr(self, name)
            if values is not None and len(values) != length:
                raise ValueError(f"{name} has {len(values)} entries for {length} tokens")
        if self.prefix and not 0 <= self.prefix.split < length:
            raise ValueError(f"leaves its origin at token {self.prefix.split} and has {length}")
        return self

    @property
    def failed(self) -> bool:
        """The trajectory was given up, or a tool call in it failed."""
        return self.finish == "failed" or any(call.failure for call in self.tool_calls)


PER_TOKEN = (
    "mask",
    "behaviour_logprobs",
    "advantages",
    "branching_scores",
    "entropies",
    "future_values",
)


def step_files(names: Iterable[str]) -> dict[int, str]:
    """The step files among `names`, by step, oldest first."""
    found = {int(match[1]): name for name in names if (match := _STEP.match(name))}
    return dict(sorted(found.items()))


def choose_step(names: Iterable[str], step: int | None, where: str) -> tuple[int, str]:
    """The wanted step and its file, the newest by default; raises `JobError` naming the steps there are."""
    files = step_files(names)
    if not files:
        raise JobError(
            f"{where}: no step_*.jsonl file", remedy="set rl.dump_rollouts_every to 1 or more and train again"
        )
    wanted = max(files) if step is None else step
    if wanted not in files:
        near = sorted(files, key=lambda one: abs(one - wanted))[:8]
        known = ", ".join(map(str, sorted(near)))
        raise JobError(f"{where}: step {wanted} was not dumped", remedy=f"{len(files)} steps were, such as {known}")
    return wanted, files[wanted]


def read_rows(body: bytes, name: str) -> Iterator[DumpRow]:
    """The trajectories of a dump one by one; raises `JobError` for a damaged line, or none at all."""
    number, start, found = 0, 0, False
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        line, number, start = body[start:end], number + 1, end + 1
        if line.strip():
            found = True
            yield _row(line, f"{name}, line {number}")
    if not found:
        raise JobError(f"{name}: holds no rollouts", remedy="choose another step")


def _row(line: bytes, where: str) -> DumpRow:
    remedy = "the file is damaged: fetch or write it again, or choose another step"
    try:
        return DumpRow.model_validate(json.loads(line))
    except UnicodeDecodeError as error:
        raise JobError(f"{where}: not UTF-8 at byte {error.start}", remedy=remedy) from None
    except json.JSONDecodeError as error:
        raise JobError(f"{where}: not JSON ({error.msg} at column {error.colno})", remedy=remedy) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise JobError(f"{where}: {field}{': ' if field else ''}{first['msg']}", remedy=remedy) from None
