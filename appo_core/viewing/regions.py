"""Parts of a response that are set apart: calls, tags, the answer."""

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from appo_core.viewing.dump_file import Call

Kind = Literal["call", "tag", "answer"]
_TAG = re.compile(r"</?[a-z]{2,12}>")
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL)


@dataclass(frozen=True)
class Region:
    """Response tokens start..end-1."""

    kind: Kind
    start: int
    end: int


def find_regions(pieces: Sequence[str], mask: Sequence[int], calls: Sequence[Call]) -> list[Region]:
    """Regions of a response among the tokens the model wrote; what a tool returned is never searched."""
    written = _Written(pieces, mask)
    regions = [
        Region("call", written.token(start), call.end) for call in calls if (start := written.opening(call)) is not None
    ]
    regions += [Region("answer", *written.tokens(*match.span(1))) for match in _ANSWER.finditer(written.text)]
    regions += [Region("tag", *written.tokens(*match.span())) for match in _TAG.finditer(written.text)]
    return [region for region in regions if region.start < region.end]


class _Written:
    """The text of a response with every injected character blanked, and the way from characters to tokens."""

    def __init__(self, pieces: Sequence[str], mask: Sequence[int]) -> None:
        shown = [piece if own else "\n" * len(piece) for piece, own in zip(pieces, mask, strict=True)]
        self.text = "".join(shown)
        self._ends = list(accumulate(len(piece) for piece in shown))

    def token(self, character: int) -> int:
        """The token that holds a character."""
        return bisect.bisect_right(self._ends, character)

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """The tokens that hold the characters start..end-1; an empty range holds none."""
        return (self.token(start), self.token(end - 1) + 1) if end > start else (0, 0)

    def opening(self, call: Call) -> int | None:
        """Where the tag that opens a call stands; None when it has none."""
        end = self._ends[min(call.end, len(self._ends)) - 1] if call.end and self._ends else 0
        start = self.text.rfind(f"<{call.tool}>", 0, end)
        return start if start >= 0 else None
