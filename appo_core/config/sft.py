"""Settings of the cold-start supervised fine-tuning stage (LLaMA-Factory)."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from appo_core.config.base import Settings


class SftSettings(Settings):
    """Full fine-tuning on ShareGPT conversations, tool results masked from the loss."""

    learning_rate: PositiveFloat = 7e-6
    epochs: PositiveFloat = 3.0
    cutoff_tokens: PositiveInt = 15000
    """Longer conversations are cut here, in tokens."""
    batch_size: PositiveInt = 1
    """Conversations per device and micro-step."""
    gradient_accumulation: PositiveInt = 2
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    packing: bool = False
    """Pack several conversations into one row without cross-attention."""
    group_by_length: bool = False
    """Batch conversations of like length: less padding and faster steps, in a less random order."""
    precision: Literal["bf16", "fp32"] = "bf16"
    gradient_checkpointing: bool = True
    processes: PositiveInt = 1
    """Training processes (one per GPU)."""
    cpu_threads: PositiveInt | None = None
    """Threads of torch where there is no GPU; by default as many as OMP_NUM_THREADS says."""
    save_steps: PositiveInt = 2000
    """Checkpoint interval in optimiser steps; an interrupted run resumes from the last one."""
    seed: NonNegativeInt = 42
