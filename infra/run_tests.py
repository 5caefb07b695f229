"""`python -m infra.run_tests [pytest arguments]`: the tests in both environments, one summary, one exit code.

Rooms that need torch run in the engine environment, everything else in the orchestrator's (`tests/conftest.py` says
which is which). Both always run, so that one failure does not hide another.
"""

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

from appo_core import environments

TESTED = ("orchestrator", "engine")
_NOTHING_SELECTED = 5
"""pytest's exit code when no test was selected: fine in one environment, as long as the other had some."""


def count(report: Path) -> Counter[str]:
    """Tests by outcome (passed, failed, skipped) in a JUnit report; empty when pytest wrote none."""
    totals: Counter[str] = Counter()
    if not report.exists():
        return totals
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 - reads what pytest just wrote
        number = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
        bad = number["failures"] + number["errors"]
        totals.update(failed=bad, skipped=number["skipped"], passed=number["tests"] - bad - number["skipped"])
    return totals


def run_in(name: str, arguments: list[str], folder: Path) -> tuple[bool, Counter[str]]:
    """Run pytest in one environment; returns whether it ended well, and its tests by outcome."""
    print(f"\n=== tests in the {name} environment", flush=True)
    report = folder / f"{name}.xml"
    command = [str(environments.python(name)), "-m", "pytest", f"--junitxml={report}", *arguments]
    code = subprocess.run(command, check=False, cwd=environments.ROOT).returncode
    return code in (0, _NOTHING_SELECTED), count(report)


def main(arguments: list[str]) -> int:
    """Run everything; returns 0 when no test failed and at least one ran."""
    start = time.monotonic()
    totals, well = Counter[str](), True
    with tempfile.TemporaryDirectory() as folder:
        for name in TESTED:
            ended_well, outcomes = run_in(name, arguments, Path(folder))
            well, totals = well and ended_well, totals + outcomes
    summary = ", ".join(f"{totals[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
    print(f"\n{summary} in {time.monotonic() - start:.0f} s", flush=True)
    if not totals.total():
        print("error: no test was selected; check the arguments", file=sys.stderr)
    return 0 if well and totals.total() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
