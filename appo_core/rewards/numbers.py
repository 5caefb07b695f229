r"""Cheap, exact comparison of the answers that most mathematics questions have: numbers and short LaTeX.

What these functions cannot decide is left to the slower symbolic comparison.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from appo_core.rewards.text import LATEX_TEXT

RELATIVE_TOLERANCE = 1e-6
"""Two numbers of which at least one is a rounded decimal are equal within this."""
_LONGEST_NUMBER = 200

_SPACING = re.compile(r"(?<!\\)\\[!,;:> ]|\\q?quad\b|~|\s+")
_DIGIT_GAP = re.compile(r"(?<=\d)\s+(?=\d)")
_GROUPED = re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d/])")
_MIXED = re.compile(r"([+-]?)(\d+) (\d+)/(\d+)")
_BRACE_WRAP = re.compile(r"\{([^{}]*)\}")
_THOUSANDS = re.compile(r"(?<![\d.,(\[{])\d{1,3}(?:,\d{3})+(?![\d,])")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?", re.IGNORECASE)
_FRACTION = re.compile(r"([+-]?)\\frac\{([+-]?\d+)\}\{([+-]?\d+)\}|([+-]?)\\frac(\d)(\d)|([+-]?\d+)/(\d+)")
_LABEL = re.compile(r"^[a-zA-Z](?:_\{?\w+\}?)?=(?=[^=])")
_OPTION = re.compile(r"^(?:option|answer|choice)?\s*[:\-]?\s*\(?([a-z])(?:$|[).:](?:\s|$))", re.IGNORECASE)


@dataclass(frozen=True)
class Number:
    """A parsed number: its exact value, and whether it was written as a percentage."""

    value: Fraction
    percent: bool = False

    @property
    def readings(self) -> tuple[Fraction, ...]:
        """The values it may stand for: 50 % is read as 50 and as 1/2."""
        return (self.value, self.value / 100) if self.percent else (self.value,)


def canonical(answer: str) -> str:
    r"""LaTeX without what does not change the value: delimiters, spacing, `\left`, `\dfrac`, text units, `x=`."""
    text = answer.strip().strip("$").replace("−", "-").replace("\\%", "%").replace("\\$", "").replace("$", "")
    text = re.sub(r"\\(?:left|right|displaystyle|bigl|bigr|big)(?![a-zA-Z])", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text).replace("\\(", "").replace("\\)", "")
    text = re.sub(r"\^\{?\\circ\}?|\\degree|°", "", text).replace("{,}", ",")
    text = _THOUSANDS.sub(lambda found: found.group().replace(",", ""), _without_unit(text))
    text = _GROUPED.sub(lambda found: found.group().replace(" ", ""), _DIGIT_GAP.sub(" ", text))
    tight = "\0".join(_SPACING.sub("", part) for part in re.split(r"(?<=\d) (?=\d)", text)).replace("\0", " ")
    return _LABEL.sub("", tight).rstrip(".")


def _without_unit(text: str) -> str:
    r"""Drop a `\text{...}` unit behind a value; keep the words when they are the whole answer."""
    without = LATEX_TEXT.sub("", text)
    return without if _SPACING.sub("", without) else LATEX_TEXT.sub(r"\1", text)


def parse_number(answer: str) -> Number | None:
    """The number an answer consists of (integer, decimal, fraction, percentage), or None."""
    text = canonical(answer)
    if len(text) > _LONGEST_NUMBER:
        return None
    percent = text.endswith("%")
    text = text.rstrip("%")
    if _NUMBER.fullmatch(text):
        return Number(Fraction(text), percent)
    if mixed := _MIXED.fullmatch(text):
        return _mixed_number(*mixed.groups(), percent=percent)
    found = _FRACTION.fullmatch(_BRACE_WRAP.sub(r"\1", text) if "frac" not in text else text)
    if found is None:
        return None
    sign, top, bottom = _fraction_parts(found)
    return Number(sign * Fraction(top, bottom), percent) if bottom else None


def _mixed_number(sign: str, whole: str, top: str, bottom: str, *, percent: bool) -> Number | None:
    """`2 3/4` is two and three quarters."""
    if not int(bottom):
        return None
    value = int(whole) + Fraction(int(top), int(bottom))
    return Number(-value if sign == "-" else value, percent)


def _fraction_parts(found: re.Match[str]) -> tuple[int, int, int]:
    """Sign, numerator and denominator of whichever form of a fraction matched."""
    sign, top, bottom, short_sign, short_top, short_bottom, plain_top, plain_bottom = found.groups()
    numerator, denominator = top or short_top or plain_top, bottom or short_bottom or plain_bottom
    return -1 if (sign or short_sign) == "-" else 1, int(numerator), int(denominator)


def numbers_equal(left: Number, right: Number) -> bool:
    """Exact for integers; within `RELATIVE_TOLERANCE` where one side is a decimal or a fraction."""
    return any(_close(one, two) for one in left.readings for two in right.readings)


def _close(left: Fraction, right: Fraction) -> bool:
    if left == right:
        return True
    if left.denominator == right.denominator == 1:
        return False
    return math.isclose(left, right, rel_tol=RELATIVE_TOLERANCE)


def option_letter(answer: str) -> str | None:
    """The letter of a multiple-choice answer (`B`, `(b)`, `B. Paris`), upper case, or None."""
    found = _OPTION.match(LATEX_TEXT.sub(r"\1", answer).strip().strip("$"))
    return found.group(1).upper() if found else None
