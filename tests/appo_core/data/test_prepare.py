from dataclasses import replace

import pytest

from appo_core.config import DataSettings
from appo_core.data.prepare import prepare
from appo_core.data.schema import rl_id
from appo_core.data.sources import RawData
from appo_core.jobs.contract import JobError
from tests.appo_core.data.rows import rl_row, sft_row

RAW = RawData(
    rl_train=[
        rl_row(0),
        rl_row(1, question="Find \\x."),
        rl_row(2, question="What is 0 plus 0?"),
        rl_row(3, gold=" "),
        rl_row(4, question="held out"),
        rl_row(5, question="\x08oxed five"),
    ],
    rl_valid=[rl_row(0, question="held out", split="valid")],
    sft=[sft_row("a"), sft_row("b", question="FIND \\x")],
    benchmarks={"aime24": [{"question": "Find \\x", "answer": "1"}]},
)


def test_every_dropped_row_is_accounted_for() -> None:
    prepared = prepare(RAW, DataSettings())
    assert [rl_id(row) for row in prepared.data.rl_train] == ["train-0", "train-5"]
    assert [rl_id(row) for row in prepared.data.rl_valid] == ["valid-0"]
    assert prepared.rl.report() == {
        "kept": 3,
        "repaired": ["train-5"],
        "dropped": {
            "blank_gold": ["train-3"],
            "duplicates": {"train-2": "train-0", "train-4": "valid-0"},
            "benchmark_items": {"train-1": "aime24"},
        },
    }
    assert prepared.sft.metrics("sft")["sft_dropped_benchmark_items"] == {"aime24": 1}
    assert [row["id"] for row in prepared.data.sft] == ["a"]


def test_benchmark_items_can_be_refused_or_left_in() -> None:
    with pytest.raises(JobError, match=r"2 rows are benchmark items: train-1 \(aime24\), b \(aime24\)"):
        prepare(RAW, DataSettings(decontaminate="fail"))
    kept = prepare(RAW, DataSettings(decontaminate="off")).data
    assert "train-1" in [rl_id(row) for row in kept.rl_train]


def test_unrepaired_control_characters_are_refused() -> None:
    with pytest.raises(JobError, match="control characters in 1 rows: train-5") as caught:
        prepare(RAW, DataSettings(repair=False))
    assert "data.repair" in caught.value.remedy


def test_unbalanced_tags_are_refused() -> None:
    row = sft_row("broken")
    row["conversations"][-1]["value"] = "<answer> 4"
    with pytest.raises(JobError, match="conversation broken: <answer> is never closed"):
        prepare(replace(RAW, sft=[row]), DataSettings())


def test_a_split_that_loses_all_rows_is_refused() -> None:
    with pytest.raises(JobError, match="rl_train: no row is left"):
        prepare(replace(RAW, rl_train=[rl_row(gold=" ")]), DataSettings())
