"""Faults of a command as one line and an exit code."""

import httpx
import pytest
import typer

from flows.cli.faults import EXIT_TRANSIENT, guarded


def test_a_prefect_server_that_went_away_is_one_line_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")

    @guarded
    def command() -> None:
        httpx.get("http://127.0.0.1:1/api")

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == EXIT_TRANSIENT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the Prefect server at http://127.0.0.1:1/api does not answer any more")
    assert "run the same command again" in line


def test_an_unknown_fault_is_not_hidden() -> None:
    @guarded
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()
