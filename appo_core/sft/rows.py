"""ShareGPT conversations: read from JSON lines and checked row by row."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import JobError

PROMPT, CALL, RESULT, ANSWER = "human", "function_call", "observation", "gpt"
"""Roles: the user's turn; assistant text up to a tool call; an injected result; the last assistant text."""


@dataclass(frozen=True)
class Turn:
    """One part of a conversation."""

    role: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """One training row: an optional system prompt, the user's turn, and the response cut at tool calls."""

    system: str
    turns: tuple[Turn, ...]

    @property
    def prompt(self) -> str:
        """The user's turn."""
        return self.turns[0].text

    @property
    def response(self) -> tuple[Turn, ...]:
        """Calls, results and the final text, in order; joined they are the response of the rollout protocol."""
        return self.turns[1:]


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Conversations of a JSON lines file; raises `JobError` naming file and row at the first bad one."""
    if not path.is_file():
        raise JobError(f"{path}: no such file", remedy="publish an SFT dataset with train.jsonl")
    count = 0
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                count += 1
                yield _parse(line, f"{path.name} row {number}")
    if not count:
        raise JobError(f"{path.name} is empty", remedy="give at least one conversation")


def _parse(line: str, where: str) -> Conversation:
    try:
        row = json.loads(line)
        turns = tuple(Turn(turn["from"], turn["value"]) for turn in row["conversations"])
        system = row.get("system") or ""
    except json.JSONDecodeError as error:
        raise JobError(f"{where}: not JSON ({error.msg})", remedy="repair or drop the row") from None
    except KeyError as error:
        raise JobError(
            f"{where}: {error} is missing", remedy="use the ShareGPT keys conversations, from, value"
        ) from None
    except (TypeError, AttributeError):
        raise JobError(
            f"{where}: not a ShareGPT object", remedy="use the ShareGPT keys conversations, from, value"
        ) from None
    _check(turns, system, where)
    return Conversation(system, turns)


def _check(turns: tuple[Turn, ...], system: Any, where: str) -> None:
    if not isinstance(system, str) or not all(isinstance(turn.text, str) and turn.text for turn in turns):
        raise JobError(f"{where}: every value must be a non-empty string", remedy="repair or drop the row")
    roles = [turn.role for turn in turns]
    calls = (len(roles) - 2) // 2
    if roles != [PROMPT, *[CALL, RESULT] * calls, ANSWER]:
        raise JobError(
            f"{where}: roles {', '.join(roles) or 'none'} do not alternate",
            remedy="use human, then function_call and observation in pairs, then gpt",
        )
