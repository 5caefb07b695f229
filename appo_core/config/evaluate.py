"""Settings of the evaluation stage."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from appo_core.config.base import Settings
from appo_core.config.rollout import LoopLimits, PromptSettings, SamplingSettings, ToolSettings

BENCHMARKS = (
    "aime24", "aime25", "math500", "math", "gsm8k", "webwalker", "hotpotqa", "2wiki", "musique", "bamboogle",
    "gaia", "hle", "xbench",
)  # fmt: skip
"""The 13 benchmarks, in report order."""
EXTRA_BENCHMARKS = ("simpleqa",)


class JudgeSettings(Settings):
    """An OpenAI-compatible endpoint that judges answers the rules call wrong."""

    base_url: str
    model: str
    key_env: str = "JUDGE_API_KEY"
    """Environment variable that holds the key."""
    timeout_s: PositiveFloat = 60.0


class EvaluateSettings(Settings):
    """13 benchmarks x k samples through the same tool loop as training, over HTTP."""

    benchmarks: tuple[str, ...] = BENCHMARKS
    samples: PositiveInt = 5
    """k: samples per question."""
    max_questions: PositiveInt | None = None
    """Questions per benchmark; all by default. A cut is stated in the report."""
    sampling: SamplingSettings = SamplingSettings(temperature=0.6, top_p=0.95, top_k=20, repetition_penalty=1.1)
    prompt: PromptSettings = PromptSettings()
    limits: LoopLimits = LoopLimits(max_prompt_tokens=8192, max_response_tokens=24576, call_limit=15)
    tools: ToolSettings = ToolSettings()
    concurrency: PositiveInt = 50
    sample_timeout_s: PositiveFloat = 1500.0
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 2000
    judge: JudgeSettings | None = None
    seed: int = 0

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in (*BENCHMARKS, *EXTRA_BENCHMARKS)]
        if unknown or not names:
            raise ValueError(f"unknown benchmarks {unknown}; choose from {', '.join((*BENCHMARKS, *EXTRA_BENCHMARKS))}")
        return names
