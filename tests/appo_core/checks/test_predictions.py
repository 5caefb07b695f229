from pathlib import Path
from typing import Any

import pytest

from appo_core.checks.predictions import range_fault, table
from appo_core.data.writers import write_jsonl
from appo_core.jobs.contract import JobError


def _sample(name: str, number: int, **changes: Any) -> dict[str, Any]:
    return {"id": name, "sample": number, "correct": True, "f1": 0.5} | changes


def test_every_question_exactly_k_times(tmp_path: Path) -> None:
    rows = [_sample("a", 0), _sample("a", 1), _sample("b", 0)]
    write_jsonl(tmp_path / "samples" / "aime24.jsonl", rows)
    frame = table(tmp_path, {"samples": 2}).set_index("id")
    assert frame["count"].dropna().to_dict() == {"aime24/b#0": "1 samples instead of 2"}
    assert table(tmp_path, {})["count"].isna().all()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [({}, None), ({"f1": 1.5}, "f1 1.5"), ({"f1": "x"}, "f1 x"), ({"correct": None}, "correct is missing")],
)
def test_scores_in_range(changes: dict[str, Any], fault: str | None) -> None:
    assert range_fault(_sample("a", 0, **changes)) == fault


def test_a_folder_without_samples(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no <benchmark>"):
        table(tmp_path, {})
