"""System packages, the test runner's counting, and the Makefile's list of commands."""

import subprocess
from collections import Counter
from pathlib import Path

from appo_core.environments import ROOT
from infra.run_tests import count
from infra.system_packages import missing_packages

DEBIAN = 'PRETTY_NAME="Debian"\nID=debian\n'
UBUNTU = "ID=ubuntu\nID_LIKE=debian\n"


def test_missing_programs_name_their_packages() -> None:
    assert missing_packages(DEBIAN, lambda program: None) == ["bubblewrap", "chromium"]
    assert missing_packages(DEBIAN, lambda program: f"/usr/bin/{program}") == []
    assert missing_packages(DEBIAN, {"google-chrome": "/opt/chrome"}.get) == ["bubblewrap"]


def test_ubuntu_is_not_given_a_snap() -> None:
    assert missing_packages(UBUNTU, lambda program: None) == ["bubblewrap"]


def test_outcomes_are_counted_over_suites(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="7" failures="1" errors="1" skipped="2"/>'
        '<testsuite tests="3" failures="0" errors="0" skipped="0"/></testsuites>'
    )
    assert count(report) == Counter(passed=6, failed=2, skipped=2)
    assert count(tmp_path / "absent.xml").total() == 0


def test_make_alone_lists_the_commands() -> None:
    listing = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {"make demo", "make test", "make setup", "make lint"} <= {
        line.strip()[:10].strip() for line in listing.splitlines()
    }
