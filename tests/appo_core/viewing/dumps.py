"""Rows of dumps: made by hand for one idea each, and a real one of the demo's run."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from appo_core.demo.tokenizer import train_tokenizer
from appo_core.viewing import DumpRow, Pieces

REAL = Path(__file__).parent / "data"
"""Two prompts of a step of the demo's run, with the demo model's tokenizer."""
TEXTS = ("What is 12 times 30? <think> look it up </think> Äußerst günstige Züge fahren über Zürich.",)


@cache
def tokenizer() -> Tokenizer:
    """A byte-level BPE in which most characters that are not ASCII take several tokens."""
    return train_tokenizer(TEXTS, 320)


@cache
def pieces() -> Pieces:
    return Pieces.read(tokenizer().to_str().encode(), "made up")


def encode(text: str) -> list[int]:
    return list(tokenizer().encode(text).ids)


def row(uid: str, response: str = "five", /, group: str = "0/a", **changes: Any) -> dict[str, Any]:
    """An initial rollout as its dump has it."""
    ids = encode(response)
    return {
        "uid": uid,
        "group": group,
        "prompt_ids": encode("<|im_start|>user\nWhat is 2 + 3?<|im_end|>\n<|im_start|>assistant\n"),
        "response_ids": ids,
        "mask": [1] * len(ids),
        "behaviour_logprobs": [-0.5] * len(ids),
        "tool_calls": [],
        "finish": "eos",
        "failure": None,
        "prefix": None,
        "weights_version": 3,
        "reward": 0.0,
        "correct": False,
        "reason": "f1 0.000",
        "answer": None,
    } | changes


def branch(uid: str, origin: dict[str, Any], split: int, response: str = " six", **changes: Any) -> dict[str, Any]:
    """A branch that leaves `origin` behind token `split`."""
    whole = row(uid, group=origin["group"])
    ids = origin["response_ids"][: split + 1] + encode(response)
    per_token = {"response_ids": ids, "mask": [1] * len(ids), "behaviour_logprobs": [-0.5] * len(ids)}
    return whole | per_token | {"prefix": {"origin": origin["uid"], "split": split, "score": 1.5}} | changes


def lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in rows).encode()


def parsed(*rows: dict[str, Any]) -> list[DumpRow]:
    return [DumpRow.model_validate(one) for one in rows]
