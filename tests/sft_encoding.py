"""`python -m tests.sft_encoding DATA WORK MODEL...`: what LLaMA-Factory trains on, and what a rollout would hold.

Runs in the sft environment; prints one JSON line per model with `rows`: for each conversation LLaMA-Factory's `ids` and
`labels`, and the rollout protocol's `expected` ids and `mask`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from appo_core.config.sft import SftSettings
from appo_core.rollout.codec import Codec
from appo_core.sft.arguments import Folders, training_arguments
from appo_core.sft.dataset import write_dataset
from appo_core.sft.launch import prepare_environment
from appo_core.sft.rows import ANSWER, RESULT, Conversation, read_conversations
from appo_core.sft.template import end_of_turn, register


def encoded(folders: Folders, data: Path) -> list[dict[str, Any]]:
    """Rows as LLaMA-Factory's own loader prepares them for its trainer."""
    from appo_core.sft.train import provide_torchaudio

    provide_torchaudio()
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders.model)
    register(end_of_turn(tokenizer))
    rows = write_dataset(data, folders.dataset, tokenizer)
    settings = SftSettings(precision="fp32", cutoff_tokens=4096)
    arguments = training_arguments(settings, folders, rows, cuda=False)
    model_args, data_args, training_args, *_ = get_train_args(arguments)
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    dataset = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)["train_dataset"]
    return [{"ids": row["input_ids"], "labels": row["labels"]} for row in dataset]


def expected(codec: Codec, conversation: Conversation, end: int) -> tuple[list[int], list[int]]:
    """Prompt and response ids as a rollout makes them, and the mask of generated tokens."""
    ids = codec.prompt_ids(conversation.system, conversation.prompt)
    mask = [0] * len(ids)
    for turn in conversation.response:
        part = codec.encode(turn.text) + ([end] if turn.role == ANSWER else [])
        ids += part
        mask += [int(turn.role != RESULT)] * len(part)
    return ids, mask


def report(model: Path, data: Path, work: Path) -> None:
    """Compare every conversation of `data` under the tokenizer of `model`."""
    codec = Codec.load(model)
    end_token = end_of_turn(codec.tokenizer)
    end = codec.tokenizer.convert_tokens_to_ids(end_token)
    rows = encoded(Folders(model, work / "dataset", work), data)
    for row, conversation in zip(rows, read_conversations(data), strict=True):
        row["expected"], row["mask"] = expected(codec, conversation, end)
    print(json.dumps({"rows": rows, "end": end, "end_token": end_token}))  # noqa: T201


def main() -> None:
    """Report on every model named."""
    data, work, *models = (Path(argument) for argument in sys.argv[1:])
    prepare_environment(work, processes=1)
    for model in models:
        report(model, data, work / model.name)


if __name__ == "__main__":
    main()
