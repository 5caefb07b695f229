"""Answer normalisation and token F1, for questions whose answer is text."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

CLOSED_ANSWERS = frozenset({"yes", "no", "noanswer"})
"""Answers without partial credit: a prediction that differs from one of these scores 0."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DASHES = str.maketrans({"‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "’": "'", "‘": "'"})
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_PUNCTUATION_OR_FOREIGN = re.compile(rf"[{re.escape(string.punctuation)}]|[^\x00-\x7f]")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[-,;](?=\d)")
_KEPT_MARK = re.compile(r"(?<=\d)[./:](?=\d)|(?<![\w)])\.(?=\d)|(?<![\w).])[-](?=\.?\d)")
LATEX_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|operatorname)\s*\{([^{}]*)\}")


def reference_tokens(text: str) -> list[str]:
    """Tokens as the published scoring makes them: signs, slashes and decimal points are lost with the punctuation."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def answer_tokens(text: str) -> list[str]:
    """Tokens that keep what carries meaning.

    Lower case, Unicode NFKC, no articles, no punctuation, except the sign, decimal point, slash and colon of numbers;
    thousands separators go; an answer that consists of an article (option `A`) stays.
    """
    text = LATEX_TEXT.sub(r"\1", unicodedata.normalize("NFKC", text)).translate(_DASHES).lower()
    text = _THOUSANDS.sub(lambda found: found.group().replace(",", ""), text)
    text = _BETWEEN_DIGITS.sub(" ", text)
    kept = {found.start() for found in _KEPT_MARK.finditer(text)}
    plain = _PUNCTUATION_OR_FOREIGN.sub(lambda found: _kept(found, kept), text)
    return _ARTICLES.sub(" ", plain).split() or plain.split()


def _kept(found: re.Match[str], kept: set[int]) -> str:
    """The character, or nothing for punctuation (Unicode category P, every ASCII mark) that is not to be kept."""
    char = found.group()
    dropped = char.isascii() or unicodedata.category(char).startswith("P")
    return "" if dropped and found.start() not in kept else char


def token_f1(prediction: Sequence[str], gold: Sequence[str]) -> float:
    """2PR / (P + R) over multisets of tokens, in [0, 1]; 0 when a closed answer (yes, no, noanswer) is not matched."""
    joined = (" ".join(prediction), " ".join(gold))
    if joined[0] != joined[1] and not CLOSED_ANSWERS.isdisjoint(joined):
        return 0.0
    common = (Counter(prediction) & Counter(gold)).total()
    return 2 * common / (len(prediction) + len(gold)) if common else 0.0
