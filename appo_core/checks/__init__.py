"""Data checks between the stages: one expectation suite per kind of artifact.

Importing this package is cheap. Great Expectations itself takes seconds to import and is loaded by the first suite
that runs; later suites in the same process take a fraction of a second.
"""

from appo_core.checks.report import CheckFailed, CheckReport, RuleResult
from appo_core.checks.suites import SUITES, run_suite

__all__ = ["SUITES", "CheckFailed", "CheckReport", "RuleResult", "run_suite"]
