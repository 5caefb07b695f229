"""Between text and token ids: the model's own tokenizer, used in one place only.

Text is encoded twice in a trajectory's life: the prompt (through the chat template) and each injected tool result.
What the model generates is never re-encoded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Codec:
    """A Hugging Face tokenizer, narrowed to what rollouts need."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError("tokenizer has no eos_token; name one in tokenizer_config.json")
        self.tokenizer: Any = tokenizer
        self.eos_id = int(tokenizer.eos_token_id)

    @classmethod
    def load(cls, folder: Path | str) -> "Codec":
        """Load the tokenizer of a model folder; raises `ValueError` when the folder holds none."""
        from transformers import AutoTokenizer

        if not (Path(folder) / "tokenizer_config.json").is_file():
            raise ValueError(f"{folder}: no tokenizer_config.json; give a Hugging Face model folder with a tokenizer")
        return cls(AutoTokenizer.from_pretrained(str(folder), local_files_only=True))

    def prompt_ids(self, system: str, user: str) -> list[int]:
        """Ids of the chat prompt, up to and including the opening of the assistant's turn.

        An empty `system` leaves the system message out (the template may then put its own).
        """
        messages = [{"role": "user", "content": user}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.encode(text)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, nothing added around it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids` without special tokens; bytes that form no character become U+FFFD."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
