"""Seeded models for benchmarks: the demo's architecture, in several sizes, with a tokenizer trained on its own text."""

import random
from itertools import islice
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from appo_core.config.model import TinyModel
from appo_core.demo.model import build_model
from appo_core.demo.questions import Kind, distinct_questions
from appo_core.demo.world import build_world

SMALL = TinyModel()
"""The demo's model: about 2 million parameters."""
LARGE = TinyModel(hidden_size=512, layers=8, heads=8, key_value_heads=4, head_dim=64, intermediate_size=1536)
"""About 27 million parameters."""
TINY = TinyModel(
    hidden_size=32, layers=2, heads=2, key_value_heads=1, head_dim=32, intermediate_size=64, vocabulary=600
)
"""For `--quick`."""


def questions(count: int, seed: int = 0) -> list[str]:
    """Distinct questions of the demo world."""
    world = build_world(seed)
    return [one.text for one in islice(distinct_questions(world, random.Random(seed), tuple(Kind)), count)]


def make_model(folder: Path, settings: TinyModel) -> int:
    """Write a model folder; returns the number of parameters. Turns transformers' progress bars off."""
    disable_progress_bar()
    texts = [row["text"] for row in build_world(0).corpus] + questions(400)
    calls = [f"<think> {text} </think> <search> {text} </search>" for text in texts[:200]]
    return build_model(settings, texts + calls, folder)
