"""The outcome of a suite: verdicts, offending rows and remedies, for people and for machines."""

import dataclasses
import json
from typing import Any

from appo_core.jobs.contract import JobError

MAX_FAILING_ROWS = 20
_SHOWN = 5


class CheckFailed(JobError):
    """A suite found rows that must not reach the next stage."""


@dataclasses.dataclass(frozen=True)
class RuleResult:
    """The verdict of one rule."""

    name: str
    success: bool
    observed: str
    """What was found, in one line."""
    failing_rows: tuple[str, ...]
    """Ids of offending rows, at most `MAX_FAILING_ROWS`."""
    remedy: str


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """The verdicts of one suite on one folder."""

    suite: str
    success: bool
    expectations: tuple[RuleResult, ...]
    rows: int
    seconds: float

    @property
    def failures(self) -> tuple[RuleResult, ...]:
        """The rules that failed, in suite order."""
        return tuple(result for result in self.expectations if not result.success)

    def rows_table(self) -> list[dict[str, str]]:
        """One flat record per rule, for a table."""
        return [
            {
                "rule": result.name,
                "verdict": "passed" if result.success else "FAILED",
                "observed": result.observed,
                "rows": _first(result.failing_rows),
                "remedy": "" if result.success else result.remedy,
            }
            for result in self.expectations
        ]

    def to_markdown(self) -> str:
        """A heading and a table of rules."""
        verdict = "passed" if self.success else f"**{len(self.failures)} of {len(self.expectations)} rules failed**"
        head = [f"### Check `{self.suite}`: {verdict} ({self.rows} rows, {self.seconds:.1f} s)", ""]
        table = self.rows_table()
        lines = ["| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])] if table else []
        lines += ["| " + " | ".join(_cell(value) for value in record.values()) + " |" for record in table]
        return "\n".join([*head, *lines, ""])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for a manifest."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def raise_for_failures(self) -> None:
        """Raise `CheckFailed`, one line naming the suite, the first failed rule, its rows and the remedy."""
        if self.success:
            return
        first, *others = self.failures
        rows = f" (rows {_first(first.failing_rows)})" if first.failing_rows else ""
        more = f"; also failed: {', '.join(result.name for result in others)}" if others else ""
        raise CheckFailed(f"check {self.suite}: {first.name}: {first.observed}{rows}{more}", remedy=first.remedy)


def _first(ids: tuple[str, ...]) -> str:
    """A few ids; how many there are in all is in `observed`."""
    return ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
