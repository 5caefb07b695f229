"""Prompts from Parquet, and which of them a step takes."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.config.rollout import LoopLimits, PromptSettings
from appo_core.demo.questions import Kind, Question
from appo_core.demo.rows import rl_row
from appo_core.jobs.contract import JobError
from appo_core.rollout.codec import Codec
from appo_core.training.prompts import Prompt, load_prompts, step_prompts

DEMO = PromptSettings(system="demo")


def prompts(count: int) -> list[Prompt]:
    return [Prompt(str(number), "q", "a", "qa", [1]) for number in range(count)]


@given(size=st.integers(1, 12), count=st.integers(1, 7), epochs=st.integers(1, 3), seed=st.integers(0, 5))
def test_every_epoch_takes_every_prompt_once(size: int, count: int, epochs: int, seed: int) -> None:
    rows = prompts(size)
    steps = -(-size * epochs // count)
    taken = [prompt.uid for step in range(steps) for prompt in step_prompts(rows, step, count, seed)]
    assert len(taken) == steps * count
    for epoch in range(epochs):
        assert sorted(taken[epoch * size : (epoch + 1) * size]) == sorted(prompt.uid for prompt in rows)


def test_a_step_is_a_pure_function_of_seed_and_number() -> None:
    rows = prompts(50)
    before = [step_prompts(rows, step, 8, 3) for step in range(10)]
    assert [step_prompts(rows, step, 8, 3) for step in reversed(range(10))] == before[::-1]
    assert step_prompts(rows, 0, 50, 3) != step_prompts(rows, 0, 50, 4)
    assert step_prompts(rows, 0, 50, 3) != step_prompts(rows, 1, 50, 3)
    assert set(Counter(prompt.uid for prompt in step_prompts(rows, 0, 100, 3)).values()) == {2}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    schema = None if rows else pa.schema([("prompt", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def row(index: int = 3, text: str = "What is 12 times 30?") -> dict[str, Any]:
    row = rl_row(index, Question(Kind.ARITHMETIC, text, "360"), "train")
    return row | {"metadata": {"a": "b"}}


def test_rows_become_prompts(codec: Codec, tmp_path: Path) -> None:
    (prompt,) = load_prompts(write(tmp_path / "train.parquet", [row()]), codec, DEMO, LoopLimits())
    assert (prompt.uid, prompt.gold, prompt.kind) == ("train-3", "360", "math")
    text = codec.tokenizer.decode(prompt.ids)
    assert text.startswith("<|im_start|>system\nUse <search> and <python>.<|im_end|>\n<|im_start|>user\nWhat is 12")
    assert text.endswith("<|im_start|>assistant\n")


def test_faults_are_one_line_with_row_and_remedy(codec: Codec, tmp_path: Path) -> None:
    path = write(tmp_path / "train.parquet", [row(), row(4, "What? " * 100)])
    with pytest.raises(JobError, match=r"train\.parquet: row train-4: prompt has \d+ tokens, more than limits\."):
        load_prompts(path, codec, DEMO, LoopLimits(max_prompt_tokens=100))
    with pytest.raises(JobError, match="has no rows"):
        load_prompts(write(tmp_path / "valid.parquet", []), codec, DEMO, LoopLimits())
    assert load_prompts(tmp_path / "valid.parquet", codec, DEMO, LoopLimits(), required=False) == []
    assert load_prompts(tmp_path / "nowhere.parquet", codec, DEMO, LoopLimits(), required=False) == []
    with pytest.raises(JobError, match=r"row train-3: prompt\.system 'nobody' is unknown"):
        load_prompts(path, codec, PromptSettings(system="nobody"), LoopLimits())
    bare = row()
    bare["prompt"] = bare["prompt"][1:]
    with pytest.raises(JobError, match=r"row train-3: .* has no system message"):
        load_prompts(write(tmp_path / "bare.parquet", [bare]), codec, PromptSettings(system="row"), LoopLimits())
