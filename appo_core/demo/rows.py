"""Rows of the demo's training sets, in the formats that real data has."""

import random
from typing import Any

from appo_core.demo.plans import Search, flawed_plan, good_plan
from appo_core.demo.questions import Question
from appo_core.rollout.prompts import SYSTEM_PROMPTS

SYSTEM_PROMPT = SYSTEM_PROMPTS["demo"]


def sft_row(index: int, question: Question, *, good: bool, search: Search, rng: random.Random) -> dict[str, Any]:
    """One ShareGPT conversation that follows a good or a flawed plan."""
    turns = good_plan(question, search) if good else flawed_plan(question, search, rng)
    conversation = [{"from": "human", "value": question.text}, *turns]
    return {"id": f"sft-{index}", "system": SYSTEM_PROMPT, "conversations": conversation}


def rl_row(index: int, question: Question, split: str) -> dict[str, Any]:
    """One RL prompt in the published Parquet schema."""
    return {
        "data_source": f"demo_{question.kind}",
        "prompt": [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question.text}],
        "ability": "math" if question.fact is None else "qa",
        "reward_model": {"ground_truth": question.answer, "style": "rule"},
        "extra_info": {"index": index, "question": question.text, "split": split, "need_tools_kwargs": True},
        "metadata": None,
    }
