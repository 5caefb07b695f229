"""The rollout room's tokenizer."""

from tests.appo_core.rollout.conftest import codec, tokenizer_folder

__all__ = ["codec", "tokenizer_folder"]
