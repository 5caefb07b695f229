"""GAIA's conventions for exact answers: a number, a list separated by commas or semicolons, or a short text.

Source: the quasi exact match of Mialon et al., "GAIA: a benchmark for general AI assistants", 2023, section 3.
"""

import re
import string

_UNITS = re.compile(r"[$%,€£\s]")
_SEPARATOR = re.compile(r"[,;]")
_DROPPED = str.maketrans("", "", string.punctuation + string.whitespace)


def gaia_match(prediction: str, gold: str) -> bool:
    """Whether `prediction` is `gold` by GAIA's rules."""
    expected = _number(gold)
    if expected is not None:
        given = _number(_UNITS.sub("", prediction))
        return given is not None and given == expected
    if _SEPARATOR.search(gold):
        return _lists_match(_SEPARATOR.split(prediction), _SEPARATOR.split(gold))
    return _plain(prediction) == _plain(gold) != ""


def _lists_match(given: list[str], expected: list[str]) -> bool:
    """Element by element, in order; inside a list texts keep their punctuation."""
    return len(given) == len(expected) and all(map(_element_matches, given, expected))


def _element_matches(given: str, expected: str) -> bool:
    number = _number(expected)
    if number is not None:
        return _number(_UNITS.sub("", given)) == number
    return "".join(given.lower().split()) == "".join(expected.lower().split())


def _plain(text: str) -> str:
    return text.lower().translate(_DROPPED)


def _number(text: str) -> float | None:
    try:
        return float(text.strip())
    except ValueError:
        return None
