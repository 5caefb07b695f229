"""Conversations are read as they are; bad ones are named by file and row."""

import json
from pathlib import Path

import pytest

from appo_core.jobs.contract import JobError
from appo_core.sft.rows import read_conversations

GOOD = [
    {"from": "human", "value": "q"},
    {"from": "function_call", "value": "<python> 1 </python>"},
    {"from": "observation", "value": " <result>\n1\n</result>"},
    {"from": "gpt", "value": "a"},
]


def write(path: Path, *rows: object) -> Path:
    """JSON lines of `rows`; strings are written as they are."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_reads_roles_and_system(tmp_path: Path) -> None:
    file = write(
        tmp_path / "train.jsonl", {"system": "s", "conversations": GOOD}, "", {"conversations": GOOD[:1] + GOOD[3:]}
    )
    first, second = read_conversations(file)
    assert (first.system, first.prompt, [turn.role for turn in first.response]) == (
        "s",
        "q",
        ["function_call", "observation", "gpt"],
    )
    assert (second.system, [turn.text for turn in second.response]) == ("", ["a"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", "row 2: not JSON"),
        ({"system": "s"}, "row 2: 'conversations' is missing"),
        ([1], "row 2: not a ShareGPT object"),
        ({"conversations": [{"from": "human"}]}, "row 2: 'value' is missing"),
        ({"conversations": GOOD[:2]}, "row 2: roles human, function_call do not alternate"),
        ({"conversations": []}, "row 2: roles none do not alternate"),
        ({"conversations": [GOOD[0], {"from": "gpt", "value": ""}]}, "row 2: every value must be a non-empty string"),
        ({"conversations": [GOOD[0], {"from": "gpt", "value": 3}]}, "row 2: every value must be a non-empty string"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, row: object, message: str) -> None:
    file = write(tmp_path / "train.jsonl", {"conversations": GOOD}, row)
    with pytest.raises(JobError, match=message) as caught:
        list(read_conversations(file))
    assert caught.value.remedy
    assert "train.jsonl" in caught.value.message


def test_empty_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is empty"):
        list(read_conversations(write(tmp_path / "train.jsonl", "")))
    with pytest.raises(JobError, match="no such file"):
        list(read_conversations(tmp_path / "other.jsonl"))
