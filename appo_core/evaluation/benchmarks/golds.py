"""Reference answers in the forms that benchmarks publish them in."""

import re

from appo_core.evaluation.benchmarks.base import Row, RowFault, text_field
from appo_core.rewards.response import boxed

_ESCAPED = re.compile(r"\\[\\{}]")
_BARE_BOXED = re.compile(r"\\boxed\s+([^\s$]+)")


def text_answer(row: Row) -> list[str]:
    """`answer` as one text. It is never split, also when it begins with `[` (HLE has lists as one answer)."""
    return [_close_braces(text_field(row, "answer"))]


def alias_answers(row: Row) -> list[str]:
    """`answer` as a list of aliases, or one text."""
    value = row.get("answer")
    if not isinstance(value, list):
        return text_answer(row)
    if not value:
        raise RowFault("answer", "is an empty list", "name at least one answer")
    for alias in value:
        if not isinstance(alias, str) or not alias.strip():
            raise RowFault("answer", f"holds {alias!r}, not a non-empty string", "write every alias as text")
    return list(dict.fromkeys(value))


def integer_answer(row: Row) -> list[str]:
    """`answer` as an integer or its digits (AIME: 0 to 999, leading zeros dropped)."""
    value = row.get("answer")
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    text = text_answer(row)[0].strip()
    if not re.fullmatch(r"-?\d+", text):
        raise RowFault("answer", f"is {text!r}, not an integer", "write the integer alone")
    return [str(int(text))]


def gsm8k_answer(row: Row) -> list[str]:
    """What follows the last `#### ` of the worked solution in `answer`, thousands separators removed."""
    _, mark, final = text_answer(row)[0].rpartition("####")
    final = final.strip().replace(",", "")
    if not mark or not final:
        raise RowFault("answer", "has no final answer behind '#### '", "end it with a line '#### <number>'")
    return [final]


def math_answer(row: Row) -> list[str]:
    """`answer`, or the last box of `solution` in rows of the Hendrycks format, which have no `answer`."""
    if row.get("answer") not in (None, ""):
        return text_answer(row)
    if "solution" not in row:
        text_field(row, "answer")
    solution = text_field(row, "solution")
    final = boxed(solution) or next(reversed(_BARE_BOXED.findall(solution)), "")
    if not final.strip():
        raise RowFault("solution", "has no \\boxed{} with an answer", "add 'answer', or box the answer in 'solution'")
    return [final]


def _close_braces(text: str) -> str:
    """`text` with the braces closed that its publication left open (HLE has such a row): else no box can hold it."""
    plain = _ESCAPED.sub("", text)
    return text + "}" * max(plain.count("{") - plain.count("}"), 0)
