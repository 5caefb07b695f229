"""Repair of known faults in published rows: LaTeX commands whose backslash was read as an escape."""

import re
from typing import Any

_FAULTS = (
    (re.compile("\x0c(?=rac|orall)"), r"\\f"),
    # Other vertical tabs and form feeds are left over from page layout; the words around them are whole.
    (re.compile("[\x0b\x0c]"), ""),
    (re.compile("\x08(?=[a-z])"), r"\\b"),
)


def repaired_text(text: str) -> str:
    """The text with `\\boxed` and `\\frac` restored and layout characters removed; idempotent."""
    for fault, replacement in _FAULTS:
        text = fault.sub(replacement, text)
    return text


def repaired(value: Any) -> Any:
    """A JSON value with every text in it repaired; equal to `value` when nothing was wrong."""
    match value:
        case str():
            return repaired_text(value)
        case list():
            return [repaired(item) for item in value]
        case dict():
            return {key: repaired(item) for key, item in value.items()}
        case _:
            return value
