import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.checks.rollouts import FIELDS, logprob_fault, mask_fault, measure_step, table
from appo_core.jobs.contract import JobError
from appo_core.rollout.types import Finish, Prefix, ToolCall, Trajectory

CALL = ToolCall("python", "print(1)", "1", None, refused=False, end=2, seconds=0.1)


def _row(**changes: Any) -> dict[str, Any]:
    whole = Trajectory(
        uid="a",
        group="g",
        prompt_ids=[1],
        response_ids=[5, 6, 7, 8],
        mask=[1, 1, 0, 1],
        behaviour_logprobs=[-1.0, -0.5, 0.0, -2.0],
        tool_calls=[CALL],
        finish=Finish.EOS,
    )
    return json.loads(json.dumps(dataclasses.asdict(whole) | {"reward": 1.0, "advantage_mean": 0.1} | changes))


def _faults(row: dict[str, Any], *others: dict[str, Any], oldest: int = 0) -> dict[str, str]:
    measured = measure_step([row, *others], "step_000001", oldest)[0]
    return {name: fault for name, fault in measured.items() if name != "id" and fault is not None}


def test_the_dump_of_a_trajectory_has_every_field_and_no_fault() -> None:
    assert set(FIELDS) <= set(_row())
    assert _faults(_row()) == {}


@pytest.mark.parametrize(
    ("changes", "rule", "fault"),
    [
        ({"mask": [1, 1, 0]}, "alignment", "4 ids, 3 mask, 4 log-probs"),
        ({"response_ids": [], "mask": [], "behaviour_logprobs": []}, "alignment", "empty response"),
        (
            {"mask": [1, 0, 1, 1], "behaviour_logprobs": [-1.0, 0.0, -1.0, -1.0]},
            "mask",
            "injected tokens at 1 without a tool call",
        ),
        ({"mask": [1, 1, 2, 1]}, "mask", "values other than 0 and 1"),
        ({"behaviour_logprobs": [math.nan, -1.0, 0.0, -1.0]}, "logprobs", "nan at 0"),
        ({"behaviour_logprobs": [-1.0, -1.0, -0.5, -1.0]}, "logprobs", "-0.5 at injected token 2"),
        ({"behaviour_logprobs": [0.5, -1.0, 0.0, -1.0]}, "logprobs", "0.5 at 0"),
        ({"reward": None}, "reward", "None"),
        ({"weights_version": "1"}, "fields", "weights_version is str"),
        ({"prefix": {"origin": "z", "split": 1, "score": 0.0}}, "origin", "origin z is not in this step"),
    ],
)
def test_each_fault_breaks_one_rule(changes: dict[str, Any], rule: str, fault: str) -> None:
    assert _faults(_row(**changes)) == {rule: fault}


def test_failed_trajectories_may_be_empty_and_unrewarded() -> None:
    empty = {"response_ids": [], "mask": [], "behaviour_logprobs": [], "tool_calls": []}
    assert _faults(_row(finish="failed", reward=None, **empty)) == {}


def test_a_branch_shares_its_origins_tokens() -> None:
    prefix = dataclasses.asdict(Prefix(origin="a", split=1, score=0.5))
    branch = _row(uid="b", prefix=prefix, response_ids=[5, 6, 9, 9])
    assert _faults(branch, _row()) == {}
    stray = _row(uid="b", prefix=prefix, response_ids=[5, 9, 9, 9])
    assert _faults(stray, _row()) == {"origin": "differs from a before token 2"}


def test_weights_never_grow_older() -> None:
    assert _faults(_row(weights_version=2), oldest=3) == {"version": "version 2 after 3"}


def test_the_folder_is_read_step_by_step(tmp_path: Path) -> None:
    for step, version in ((1, 1), (2, 0)):
        (tmp_path / f"step_{step:06d}.jsonl").write_text(json.dumps(_row(weights_version=version)) + "\n")
    frame = table(tmp_path, {})
    assert list(frame["id"]) == ["step_000001 a", "step_000002 a"]
    assert list(frame["version"].isna()) == [True, False]


def test_a_folder_without_steps(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no step_"):
        table(tmp_path, {})


@given(st.lists(st.integers(0, 1), max_size=12))
def test_runs_of_injected_tokens_need_a_call_at_their_start(mask: list[int]) -> None:
    starts = [i for i, value in enumerate(mask) if value == 0 and (i == 0 or mask[i - 1] == 1)]
    assert mask_fault(mask, starts) is None
    if starts:
        assert mask_fault(mask, starts[1:]) is not None


@given(st.lists(st.floats(max_value=0, allow_infinity=False, allow_nan=False), max_size=8))
def test_finite_log_probs_pass(logprobs: list[float]) -> None:
    assert logprob_fault(logprobs, [1] * len(logprobs)) is None
    assert logprob_fault([*logprobs, -math.inf], [1] * (len(logprobs) + 1)) is not None
