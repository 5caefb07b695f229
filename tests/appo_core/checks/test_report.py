import json

import pytest

from appo_core.checks.report import CheckFailed, CheckReport, RuleResult

PASSED = RuleResult("not empty", True, "3 rows", (), "give rows")
FAILED = RuleResult("no control characters", False, "7 of 9 rows, e.g. U|0008", tuple("abcdefg"), "repair")


def _report(*results: RuleResult) -> CheckReport:
    return CheckReport("rl", all(result.success for result in results), results, rows=9, seconds=0.5)


def test_a_failure_is_one_line_with_rows_and_remedy() -> None:
    with pytest.raises(CheckFailed) as caught:
        _report(PASSED, FAILED).raise_for_failures()
    assert str(caught.value) == ("check rl: no control characters: 7 of 9 rows, e.g. U|0008 (rows a, b, c, d, e, ...)")
    assert caught.value.remedy == "repair"


def test_success_does_not_raise() -> None:
    report = _report(PASSED)
    report.raise_for_failures()
    assert report.success


def test_markdown_and_json() -> None:
    report = _report(PASSED, FAILED)
    markdown = report.to_markdown()
    assert "1 of 2 rules failed" in markdown
    assert "U\\|0008" in markdown
    assert len({line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")}) == 1
    assert json.loads(json.dumps(report.to_json())) == report.to_json()
    assert report.to_json()["expectations"][1]["failing_rows"] == list("abcdefg")
