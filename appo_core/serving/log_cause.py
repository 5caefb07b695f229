"""The line of a server's log that says why it ended."""

import re
from collections.abc import Iterable

_CAUSE = re.compile(r"((?:[A-Za-z_][\w.]*)?(?:Error|Exception|Interrupt)\b.*: .+|Value error, .+|error: .+|Killed.*)$")
_SECOND_HAND = ("Engine core initialization failed", "EngineDeadError", "See root cause above")
MAX_CHARS = 400


def cause(lines: Iterable[str]) -> str:
    """The last line that names an error at first hand, else the last line that is not empty."""
    last, found = "no output", ""
    for line in lines:
        text = line.strip()
        last = text or last
        match = _CAUSE.search(text)
        if match and not any(phrase in text for phrase in _SECOND_HAND):
            found = match.group(1)
    return (found or last)[:MAX_CHARS]
