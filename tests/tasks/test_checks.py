from pathlib import Path

import pytest
from prefect import flow
from prefect.artifacts import Artifact

from appo_core.data.writers import write_jsonl
from tasks.checks import check
from tasks.errors import StageError
from tests.appo_core.data.rows import sft_row

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow
def checked(folder: Path) -> str:
    """A flow whose next stage must not start when the check fails."""
    check("data", "sft", folder, {})
    (folder / "next_stage").touch()
    return "done"


def test_a_passing_check_leaves_its_pages_and_lets_the_flow_go_on(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [sft_row()])
    assert checked(tmp_path) == "done"
    page, rules = (Artifact.get(key) for key in ("check-data-sft", "check-data-sft-rules"))
    assert page is not None
    assert rules is not None
    assert "passed" in str(page.data)
    assert "no control characters" in str(rules.data)


def test_a_failing_check_ends_the_flow_and_can_pass_once_mended(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [sft_row("a"), sft_row("a")])
    with pytest.raises(StageError, match="data: check sft: unique ids: 2 of 2 rows") as caught:
        checked(tmp_path)
    assert caught.value.remedy == "give every conversation its own id"
    assert not caught.value.transient
    assert not (tmp_path / "next_stage").exists()
    page = Artifact.get("check-data-sft")
    assert page is not None
    assert "FAILED" in str(page.data)
    write_jsonl(tmp_path / "train.jsonl", [sft_row("a")])
    assert checked(tmp_path) == "done"


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{")
    with pytest.raises(StageError, match="line 1: not JSON"):
        checked(tmp_path)
