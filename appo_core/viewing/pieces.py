"""Token ids as pieces of text that join to the whole, although a token may hold only part of a character.

Pieces are made of bytes: a byte-level BPE spells every byte as one printable letter, a byte-fallback vocabulary spells
it ``<0xE4>``. An incremental UTF-8 decoder then gives each character to the token that completes it.
"""

import codecs
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from appo_core.jobs.contract import JobError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"
REMEDY = f"name a model folder that holds a {TOKENIZER_FILE} with --tokenizer"
_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")


class Pieces:
    """A tokenizer, narrowed to turning ids into pieces of text."""

    def __init__(self, tokenizer: "Tokenizer", decoder: str) -> None:
        self._tokenizer = tokenizer
        self._bytes_of: Callable[[str], bytes] = _byte_level if '"ByteLevel"' in decoder else _byte_fallback
        added = tokenizer.get_added_tokens_decoder()
        self.special = frozenset(index for index, token in added.items() if token.special)
        """Ids of the tokens that frame messages and end sequences."""

    @classmethod
    def read(cls, body: bytes, where: str) -> "Pieces":
        """The tokenizer in the bytes of a tokenizer.json; raises `JobError` when they hold none."""
        from tokenizers import Tokenizer

        try:
            text = body.decode()
            return cls(Tokenizer.from_str(text), json.dumps(json.loads(text).get("decoder")))
        except Exception as error:  # noqa: BLE001 - the tokenizers library raises bare exceptions
            cause = " ".join(str(error).split())[:120]
            raise JobError(f"{where}: not a tokenizer ({cause})", remedy=REMEDY) from None

    @classmethod
    def load(cls, place: Path) -> "Pieces":
        """The tokenizer of a model folder, or in a tokenizer.json; raises `JobError`."""
        file = place / TOKENIZER_FILE if place.is_dir() else place
        try:
            return cls.read(file.read_bytes(), str(file))
        except OSError as error:
            cause = error.strerror or "not readable"
            raise JobError(f"{file}: {cause}", remedy=REMEDY) from None

    def split(self, ids: Sequence[int]) -> list[str]:
        """One piece per id; a token that only begins a character has an empty one.

        The pieces join to the text of all ids; bytes that form no character are U+FFFD. An id outside the vocabulary
        is empty.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces = [decoder.decode(self._bytes(index)) for index in ids]
        rest = decoder.decode(b"", final=True)
        if pieces:
            pieces[-1] += rest
        return pieces

    def text(self, ids: Sequence[int]) -> str:
        """The text of all ids, special tokens included."""
        return "".join(self.split(ids))

    def _bytes(self, index: int) -> bytes:
        token = self._tokenizer.id_to_token(index)
        return b"" if token is None else self._bytes_of(token)


def _byte_level(token: str) -> bytes:
    letters = _letters()
    if all(letter in letters for letter in token):
        return bytes(letters[letter] for letter in token)
    return token.encode()


def _byte_fallback(token: str) -> bytes:
    byte = _BYTE.match(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode()


@cache
def _letters() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for (GPT-2's table).

    Printable bytes stand for themselves, the others are spelt with the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}
