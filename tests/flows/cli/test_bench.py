"""`appo bench` starts the measurement in the engine environment, and passes arguments, output and exit code on."""

from pathlib import Path

import pytest

from tests.flows.cli.test_cli import appo


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter that says what it was asked to run, and fails."""
    path = tmp_path / "python"
    path.write_text('#!/bin/sh\necho "ran: $@"\nexit 7\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["algorithm", "--json"], "-m appo_core.bench.algorithm --json"),
        (["train", "--quick"], "-m appo_core.bench.train --quick"),
        (["rollout", "--model", "."], "-m appo_core.bench.rollout --model {folder}"),
    ],
)
def test_arguments_output_and_exit_code_are_passed_on(
    tmp_path: Path, python: Path, arguments: list[str], ran: str
) -> None:
    done = appo(tmp_path, "bench", *arguments, APPO_PYTHON_ENGINE=str(python))
    assert done.returncode == 7
    assert done.stdout == f"ran: {ran.format(folder=tmp_path)}\n"


def test_a_missing_environment_is_one_line(tmp_path: Path) -> None:
    done = appo(tmp_path, "bench", "train", APPO_PYTHON_ENGINE="/nowhere/python")
    assert done.returncode != 0
    assert "APPO_PYTHON_ENGINE=/nowhere/python does not exist" in done.stderr
    assert "Traceback" not in done.stderr
