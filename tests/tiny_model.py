"""`python -m tests.tiny_model FOLDER [LLAMA3_FOLDER]`: a random model of a few hundred thousand parameters.

Runs where torch and transformers are (engine and sft environments).
"""

import json
import sys
from pathlib import Path

from appo_core.config.model import TinyModel
from appo_core.demo.model import build_model

SETTINGS = TinyModel(
    hidden_size=32, layers=2, heads=2, key_value_heads=1, head_dim=32, intermediate_size=64, vocabulary=600
)
TEXTS = (
    "What is 12 times 30? <think> first look it up </think> <search> height of the tower </search>",
    " <result>\nPage 1: The tower is 30 m high.\n</result><python>\nprint(12 * 30)\n</python>",
    "<answer> \\boxed{360} </answer>",
)
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
"""The form of Llama 3's template: another end of turn, a start token, trimmed messages."""


def make_llama3(folder: Path) -> None:
    """Give the tokenizer in `folder` Llama 3's special tokens and template; its eos_token stays another one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    tokenizer.chat_template = LLAMA3
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = len(tokenizer)
    (folder / "config.json").write_text(json.dumps(config))


def main() -> None:
    """Build the ChatML model, and a Llama-3-like one (for encoding only: the weights keep their size)."""
    for number, folder in enumerate(map(Path, sys.argv[1:])):
        build_model(SETTINGS, TEXTS * 4, folder)
        if number:
            make_llama3(folder)


if __name__ == "__main__":
    main()
