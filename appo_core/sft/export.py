"""The trained model as a Hugging Face folder: weights of the run, tokenizer of the base model."""

import json
import shutil
from pathlib import Path
from typing import Any

from appo_core.jobs.contract import EXIT_UNEXPECTED, JobError

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip


def copy_tokenizer(base: Path, target: Path, end_token: str) -> None:
    """Copy the base model's tokenizer files byte for byte, so that ids cannot change; only `eos_token` is set."""
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, target / name)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = target / name
        if file.is_file():
            content = json.loads(file.read_text())
            if name == "tokenizer_config.json" or "eos_token" in content:
                content["eos_token"] = end_token
            file.write_text(json.dumps(content, indent=2, ensure_ascii=False))


def write_generation_config(base: Path, target: Path, end_id: int, pad_id: int | None) -> None:
    """The base model's generation config with the end-of-turn token first among those that end a text."""
    file = base / "generation_config.json"
    content: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    known = content.get("eos_token_id")
    others = known if isinstance(known, list) else [] if known is None else [known]
    content["eos_token_id"] = [end_id, *(number for number in others if number != end_id)]
    if content.get("pad_token_id") is None and pad_id is not None:
        content["pad_token_id"] = pad_id
    (target / "generation_config.json").write_text(json.dumps(content, indent=2))


def move_weights(train: Path, target: Path) -> None:
    """Move safetensors and config.json of the run to `target`; `JobError` when the run wrote no weights."""
    weights = sorted(train.glob("model*.safetensors")) + sorted(train.glob("model*.safetensors.index.json"))
    if not weights:
        raise JobError(
            "the training run wrote no model.safetensors", remedy="see the log above", exit_code=EXIT_UNEXPECTED
        )
    for file in weights:
        shutil.move(file, target / file.name)
        (target / file.name).chmod(0o644)
    shutil.copyfile(train / "config.json", target / "config.json")
