"""The dataset as LLaMA-Factory reads it: dataset_info.json beside one JSON lines file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from appo_core.sft.rows import ANSWER, CALL, PROMPT, RESULT, read_conversations
from appo_core.sft.template import render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DATASET_NAME = "cold_start"
_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": PROMPT,
    "assistant_tag": ANSWER,
    "function_tag": CALL,
    "observation_tag": RESULT,
}


def write_dataset(source: Path, folder: Path, tokenizer: "PreTrainedTokenizerBase") -> int:
    """Write `source` (ShareGPT JSON lines) for LLaMA-Factory into `folder`; the number of rows.

    The user's turn is replaced by the prompt as the chat template renders it, so no template of LLaMA-Factory's own
    comes in. Raises `JobError` naming the first bad row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    with (folder / "train.jsonl").open("w", encoding="utf-8") as out:
        for conversation in read_conversations(source):
            turns = [{"from": PROMPT, "value": render_prompt(tokenizer, conversation)}]
            turns += [{"from": turn.role, "value": turn.text} for turn in conversation.response]
            out.write(json.dumps({"conversations": turns}, ensure_ascii=False) + "\n")
            count += 1
    description = {
        "file_name": "train.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": _TAGS,
    }
    (folder / "dataset_info.json").write_text(json.dumps({DATASET_NAME: description}, indent=2))
    return count
