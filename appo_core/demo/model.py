"""The demo's base model: Qwen3-shaped, a few million seeded weights, never trained."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from appo_core.config.model import TinyModel
from appo_core.demo.tokenizer import END_OF_TEXT, TURN_END, save_tokenizer, train_tokenizer


def build_model(settings: TinyModel, texts: Iterable[str], folder: Path) -> int:
    """Write tokenizer, configuration and seeded weights to `folder`; returns the number of parameters."""
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, folder)
    end, pad = tokenizer.token_to_id(TURN_END), tokenizer.token_to_id(END_OF_TEXT)
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.key_value_heads,
        head_dim=settings.head_dim,
        intermediate_size=settings.intermediate_size,
        max_position_embeddings=settings.max_positions,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        initializer_range=settings.initializer_range,
        eos_token_id=end,
        pad_token_id=pad,
        bos_token_id=None,
        dtype="float32",
    )
    torch.manual_seed(settings.seed)
    model: Any = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=True, temperature=1.0)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def conversation_texts(path: Path) -> list[str]:
    """Every turn of a ShareGPT file, for training the tokenizer."""
    rows = (json.loads(line) for line in path.read_text().splitlines() if line)
    return [turn["value"] for row in rows for turn in row["conversations"]]


def corpus_texts(path: Path) -> list[str]:
    """Every document of a corpus file."""
    return [json.loads(line)["text"] for line in path.read_text().splitlines() if line]
