"""A model folder of a few bytes, for tests."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

CODES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64}


def bf16(values: Any) -> np.ndarray[Any, Any]:
    """The upper halves of float32 values: their truncation to bfloat16, as uint16."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def write_safetensors(path: Path, tensors: dict[str, tuple[str, np.ndarray[Any, Any]]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, (dtype, values) in tensors.items():
        data = values.astype(CODES[dtype]).tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_model(folder: Path, *, tied: bool = True, dtype: str = "F32", scale: float = 1.0) -> None:
    """Four tokens of width two, one layer's norm."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"vocab_size": 4, "hidden_size": 2, "tie_word_embeddings": tied}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [3]}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    tokenizer = {"model": {"vocab": {"a": 0, "b": 1, "c": 2}}, "added_tokens": [{"id": 3, "content": "<eos>"}]}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    embedding = np.arange(1, 9, dtype=np.float32).reshape(4, 2) * scale
    if dtype == "BF16":
        embedding = bf16(embedding)
    tensors = {"model.embed_tokens.weight": (dtype, embedding), "model.norm.weight": (dtype, embedding[0])}
    if not tied:
        tensors["lm_head.weight"] = (dtype, embedding + 1)
    write_safetensors(folder / "model.safetensors", tensors)
