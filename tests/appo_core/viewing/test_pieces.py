"""Ids become pieces that join to the whole text, whatever the tokens cut in two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from appo_core.jobs.contract import JobError
from appo_core.viewing import Pieces
from tests.appo_core.viewing.dumps import encode, pieces, tokenizer


@given(st.text())
def test_pieces_of_any_text_join_to_it(text: str) -> None:
    ids = encode(text)
    found = pieces().split(ids)
    assert len(found) == len(ids)
    assert "".join(found) == tokenizer().decode(ids, skip_special_tokens=False)


@given(st.lists(st.integers(0, 330)))
def test_pieces_of_any_ids_join_to_what_the_tokenizer_makes_of_them(ids: list[int]) -> None:
    """A model that has learnt nothing samples bytes that form no character, and ids beyond the vocabulary."""
    assert "".join(pieces().split(ids)) == tokenizer().decode(ids, skip_special_tokens=False)


def test_a_character_of_several_tokens_stands_at_its_last_one() -> None:
    ids = encode("東")
    assert len(ids) == 3
    assert pieces().split([*encode("a"), *ids, *encode("b")]) == ["a", "", "", "東", "b"]
    assert pieces().split(ids[:2]) == ["", "\N{REPLACEMENT CHARACTER}"]
    assert pieces().split([]) == []


def test_a_byte_fallback_vocabulary_is_read_too() -> None:
    vocabulary = {"<unk>": 0, "▁tea": 1, "<0xE6>": 2, "<0x9D>": 3, "<0xB1>": 4, "▁": 5}
    llama = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    llama.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    found = Pieces.read(llama.to_str().encode(), "made up").split([1, 2, 3, 4, 5])
    assert found == [" tea", "", "", "東", " "]
    assert "".join(found) == llama.decode([1, 2, 3, 4, 5])


def test_special_tokens_are_shown() -> None:
    assert pieces().text(encode("<|im_start|>user")) == "<|im_start|>user"
    assert set(encode("<|im_start|><|im_end|>")) <= pieces().special


@pytest.mark.parametrize("body", [b"no json", b"{}", b"\xff", b'{"version": "1.0"}'])
def test_what_is_no_tokenizer_is_one_line_with_its_remedy(body: bytes) -> None:
    with pytest.raises(JobError, match=r"tok\.json: not a tokenizer") as raised:
        Pieces.read(body, "tok.json")
    assert "--tokenizer" in raised.value.remedy
    assert "\n" not in raised.value.message
