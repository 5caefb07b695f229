"""Small valid rows for tests."""

from typing import Any


def rl_row(index: int = 0, *, question: str | None = None, gold: str = "4", split: str = "train") -> dict[str, Any]:
    asked = question if question is not None else f"What is {index} plus {index}?"
    return {
        "data_source": "test",
        "prompt": [{"content": "Think.", "role": "system"}, {"content": asked, "role": "user"}],
        "ability": "math",
        "reward_model": {"ground_truth": gold, "style": "rule"},
        "extra_info": {"index": index, "need_tools_kwargs": None, "question": asked, "split": split},
        "metadata": None,
    }


def sft_row(name: str = "sft-0", *, question: str = "What is 2 plus 2?") -> dict[str, Any]:
    return {
        "id": name,
        "system": "Think.",
        "conversations": [
            {"from": "human", "value": question},
            {"from": "function_call", "value": "<think> a </think><python> print(4) </python>"},
            {"from": "observation", "value": " <result>\n4\n</result>"},
            {"from": "gpt", "value": "<answer> \\boxed{4} </answer>"},
        ],
    }
