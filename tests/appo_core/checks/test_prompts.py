from pathlib import Path

from appo_core.checks.prompts import measure, table
from appo_core.data.writers import write_jsonl, write_rl
from tests.appo_core.data.rows import rl_row


def test_a_clean_prompt_has_no_fault() -> None:
    row = measure(rl_row(3), "train", 0)
    assert row["id"] == "train-3"
    assert (row["schema"], row["gold"], row["controls"]) == (None, None, None)


def test_faults_are_named() -> None:
    assert measure(rl_row(gold=" "), "train", 0)["gold"] == "blank"
    assert measure(rl_row(question="\x08oxed"), "train", 0)["controls"] == "U+0008"
    wrong = rl_row()
    wrong["prompt"][1]["content"] = "something else"
    assert "user message" in measure(wrong, "train", 0)["schema"]
    assert measure({"prompt": None}, "train", 4)["id"] == "train row 4"


def test_copies_and_benchmark_items_are_found_across_splits(tmp_path: Path) -> None:
    write_rl(tmp_path / "train.parquet", [rl_row(0, question="a"), rl_row(1, question="b c")])
    write_rl(tmp_path / "valid.parquet", [rl_row(0, question="a", split="valid")])
    write_jsonl(tmp_path / "benchmarks" / "gaia" / "test.jsonl", [{"Question": "B C?", "answer": "1"}])
    frame = table(tmp_path, {"benchmarks": tmp_path / "benchmarks"}).set_index("id")
    assert frame["copy_of"].dropna().to_dict() == {"valid-0": "train-0"}
    assert frame["benchmark"].dropna().to_dict() == {"train-1": "gaia"}
    assert table(tmp_path, {})["benchmark"].isna().all()
