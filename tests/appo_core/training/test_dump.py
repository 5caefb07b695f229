"""A dump tells what was asked."""

import json
from pathlib import Path

from appo_core.training.dump import Credited, dump_rollouts
from appo_core.training.prompts import Prompt
from tests.appo_core.training.made import scored, trajectory


def test_rows_have_the_question_and_gold_answer_of_their_prompt(tmp_path: Path) -> None:
    prompts = [Prompt(uid, f"What is {uid}?", uid, "qa", [1]) for uid in ("train-1", "train-2")]
    rows = [Credited(scored(trajectory([1], group=group), 0.0)) for group in ("0/train-2", "1/train-1", "2/train-9")]
    dump_rollouts(tmp_path / "step_000001.jsonl", rows, prompts)
    found = [json.loads(line) for line in (tmp_path / "step_000001.jsonl").read_text().splitlines()]
    assert [(row["question"], row["gold"]) for row in found] == [
        ("What is train-2?", "train-2"),
        ("What is train-1?", "train-1"),
        ("", ""),
    ]
