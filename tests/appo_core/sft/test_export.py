"""The exported folder: weights of the run, tokenizer of the base model, the end of turn ends a text."""

import json
from pathlib import Path

import pytest

from appo_core.jobs.contract import JobError
from appo_core.sft.export import copy_tokenizer, move_weights, write_generation_config


def test_tokenizer_is_copied_and_its_end_token_set(tmp_path: Path) -> None:
    base, target = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    target.mkdir()
    (base / "tokenizer.json").write_text('{"odd":  "spacing"}')
    (base / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>", "model_max_length": 5}')
    copy_tokenizer(base, target, "<|im_end|>")
    assert (target / "tokenizer.json").read_text() == '{"odd":  "spacing"}'
    assert json.loads((target / "tokenizer_config.json").read_text()) == {
        "eos_token": "<|im_end|>",
        "model_max_length": 5,
    }


@pytest.mark.parametrize(("known", "ends"), [(None, [7]), (3, [7, 3]), ([3, 7], [7, 3])])
def test_generation_config(tmp_path: Path, known: object, ends: list[int]) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": known, "top_p": 0.8}))
    write_generation_config(tmp_path, tmp_path, 7, 1)
    content = json.loads((tmp_path / "generation_config.json").read_text())
    assert content == {"eos_token_id": ends, "top_p": 0.8, "pad_token_id": 1}


def test_no_weights_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no model\.safetensors"):
        move_weights(tmp_path, tmp_path)
