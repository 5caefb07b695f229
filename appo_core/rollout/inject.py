"""Ids of an injected tool result."""

from appo_core.rollout.codec import Codec
from appo_core.rollout.protocol import RESULT_CLOSE, RESULT_OPEN, result_text


def result_ids(codec: Codec, output: str, max_tokens: int) -> list[int]:
    """Encode a result once, in at most `max_tokens` ids.

    A longer output is cut, at a whole character, and the closing tag is kept, so the model always sees where a result
    ends; when not even the tags fit, the ids are simply cut.
    """
    ids = codec.encode(result_text(output))
    if len(ids) <= max_tokens:
        return ids
    closing = codec.encode(RESULT_CLOSE)
    room = max_tokens - len(closing)
    if room < len(codec.encode(RESULT_OPEN)):
        return ids[:max_tokens]
    return _whole(codec, codec.encode(RESULT_OPEN + output)[:room]) + closing


def _whole(codec: Codec, ids: list[int]) -> list[int]:
    """`ids` without the up to three trailing ids that hold only part of a character."""
    for dropped in range(4):
        kept = ids[: len(ids) - dropped]
        if not codec.decode(kept[-4:]).endswith("\N{REPLACEMENT CHARACTER}"):
            return kept
    return ids
