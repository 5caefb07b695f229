"""What part of a response each token belongs to: thinking, a tool's argument, the answer, or neither."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

REGIONS = ("think", "search", "python", "answer", "elsewhere", "result")
"""`result` holds injected tokens: a point there is a branch that starts right behind a tool's result."""
_TAG = re.compile(r"<(/?)(think|search|python|answer)>")
TokenText = Callable[[int], str]


def token_text(path: Path) -> TokenText:
    """The text of single tokens of a tokenizer.json, special ones empty; bytes that are no character become U+FFFD."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    return cache(lambda index: str(tokenizer.decode([index], skip_special_tokens=True)))


def is_plain(text: str) -> bool:
    """Whether branching may leave behind a token of this text: it holds a letter or digit."""
    return any(character.isalnum() for character in text)


def regions(ids: Sequence[int], mask: Sequence[int], text_of: TokenText) -> list[str]:
    """The region of every response token; a token counts where its first character stands.

    Tags belong to the region that they open or close, and may be spread over several tokens. Only generated text is
    searched for them, as in the tool loop.
    """
    # An injected token leaves a character that no tag can span.
    texts = [text_of(index) if own else "\0" for index, own in zip(ids, mask, strict=True)]
    of_character = _characters("".join(texts))
    found, at = [], 0
    for own, text in zip(mask, texts, strict=True):
        inside = of_character[at] if at < len(of_character) else "elsewhere"
        found.append(inside if own else "result")
        at += len(text)
    return found


def _characters(text: str) -> list[str]:
    """The region of every character: the innermost open tag's."""
    spans: list[str] = []
    open_tags: list[str] = []
    for tag in _TAG.finditer(text):
        spans += [_top(open_tags)] * (tag.start() - len(spans))
        closing, name = tag.groups()
        if not closing:
            open_tags.append(name)
        spans += [name if not closing or name in open_tags else _top(open_tags)] * (tag.end() - tag.start())
        if closing and name in open_tags:
            while open_tags.pop() != name:
                pass
    return spans + [_top(open_tags)] * (len(text) - len(spans))


def _top(open_tags: Sequence[str]) -> str:
    return open_tags[-1] if open_tags else "elsewhere"
