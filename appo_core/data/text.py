"""Text measures that preparation and checks share."""

import re
import unicodedata

_ALLOWED_CONTROLS = frozenset("\n\t\r")
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_MATH_DELIMITERS = re.compile(r"\\[()\[\]]")
_TOKEN = re.compile(r"\d+(?:\.\d+)*|[^\W\d_]+|[-+*/^=<>%|_()\[\]{}\\]")


def comparison_key(text: str) -> str:
    """What two wordings of one question have in common: words, numbers and operators, one space apart.

    Case, Unicode form, spacing, punctuation and LaTeX delimiters do not count. Operators and brackets do, so that
    `2 + 3` and `2 - 3` stay two questions. The key of a text without any of these is empty.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    plain = _DASHES.sub("-", folded)
    return " ".join(_TOKEN.findall(_MATH_DELIMITERS.sub(" ", plain)))


def control_characters(text: str) -> list[str]:
    """Control characters (Unicode category Cc) other than newline, tab and carriage return, as `U+0008` codes."""
    return [
        f"U+{ord(char):04X}" for char in text if unicodedata.category(char) == "Cc" and char not in _ALLOWED_CONTROLS
    ]


def listed(ids: list[str], limit: int = 5) -> str:
    """The first ids of a list in one line, and how many more there are."""
    more = len(ids) - limit
    return ", ".join(ids[:limit]) + (f" and {more} more" if more > 0 else "")
