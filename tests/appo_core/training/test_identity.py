"""Which settings make a run another one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appo_core.config.rl import RlSettings
from appo_core.jobs.contract import JobError
from appo_core.training.identity import FREE, check_identity, run_identity
from appo_core.training.prompts import Prompt

PROMPTS = [Prompt("train-0", "q", "1", "math", [1, 2])]


def identity(prompts: list[Prompt] = PROMPTS, **changes: Any) -> dict[str, Any]:
    """As it is read back from a file."""
    content: dict[str, Any] = json.loads(json.dumps(run_identity(RlSettings.model_validate(changes), prompts)))
    return content


def test_free_settings_exist() -> None:
    assert set(RlSettings.model_fields) >= FREE


@pytest.mark.parametrize(
    "changes", [{}, {"steps": 9}, {"engine": {"kind": "transformers"}}, {"tools": {"attempts": 3}}, {"processes": 2}]
)
def test_a_run_goes_on_under_settings_that_change_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    check_identity(tmp_path, identity(), identity(**changes))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"seed": 2}, "seed was 1 and is 2"),
        ({"algorithm": {"loss": {"clip_low": 0.1}}}, "algorithm.loss.clip_low was 0.2 and is 0.1"),
        ({"optimizer": {"betas": [0.9, 0.99]}}, "optimizer.betas was [0.9, 0.999] and is [0.9, 0.99]"),
        ({"lora": {"rank": 4}}, "lora was null and is {"),
    ],
)
def test_a_setting_that_counts_is_named(tmp_path: Path, changes: dict[str, Any], shown: str) -> None:
    with pytest.raises(JobError) as caught:
        check_identity(tmp_path, identity(), identity(**changes))
    assert shown in caught.value.message
    assert "work folder of its own" in caught.value.remedy


def test_other_prompts_are_named(tmp_path: Path) -> None:
    other = identity([replace(PROMPTS[0], gold="2")])
    with pytest.raises(JobError, match="data was"):
        check_identity(tmp_path, identity(), other)


def test_many_differences_are_cut(tmp_path: Path) -> None:
    other = identity(
        seed=2, precision="fp32", limits={"call_limit": 1, "max_prompt_tokens": 9}, algorithm={"name": "arpo"}
    )
    with pytest.raises(JobError, match=r"and \d+ more"):
        check_identity(tmp_path, identity(), other)
