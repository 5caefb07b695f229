from typing import Any

import pytest

from appo_core.data.schema import RlRow, SftRow, require_unique, rl_id, schema_error, validated
from appo_core.jobs.contract import JobError
from tests.appo_core.data.rows import rl_row, sft_row


def test_valid_rows_pass_and_keep_their_fields() -> None:
    assert validated([rl_row() | {"extra": 1}], RlRow, "file") == [rl_row()]
    assert validated([sft_row()], SftRow, "file") == [sft_row()]
    assert rl_id(rl_row(3)) == "train-3"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"prompt": "text"}, "prompt: Input should be a valid list, found str"),
        ({"prompt": [{"role": "user", "content": "a"}]}, "prompt: the roles must be system, user; found user"),
        ({"reward_model": {"ground_truth": 4}}, "reward_model.ground_truth: Input should be a valid string, found int"),
        ({"reward_model": {}}, "reward_model.ground_truth: Field required"),
        (
            {"extra_info": {"index": "0", "question": "a"}},
            "extra_info.index: Input should be a valid integer, found str",
        ),
        (
            {"extra_info": None},
            "extra_info: Input should be a valid dictionary or instance of ExtraInfo, found NoneType",
        ),
    ],
)
def test_faults_name_row_and_field(change: dict[str, Any], fault: str) -> None:
    assert schema_error(rl_row() | change, RlRow) == fault
    with pytest.raises(JobError) as caught:
        validated([rl_row(), rl_row(1) | change], RlRow, "train.parquet")
    assert str(caught.value) == f"train.parquet, row 1: {fault}"


def test_conversation_faults() -> None:
    unknown = {"conversations": [{"from": "user", "value": "a"}, {"from": "gpt", "value": "b"}]}
    assert "conversations.0.from" in (schema_error(sft_row() | unknown, SftRow) or "")
    assert schema_error(sft_row() | {"id": ""}, SftRow) is not None


def test_duplicate_ids_are_named() -> None:
    require_unique(["a", "b"], "file")
    with pytest.raises(JobError, match="file: duplicate ids a, b"):
        require_unique(["a", "b", "a", "b"], "file")
