"""Inference engines: vLLM in process, transformers in process, OpenAI-compatible over HTTP.

Nothing heavy is imported before an engine is built.
"""

from pathlib import Path
from typing import Literal

from appo_core.config.rollout import EngineSettings
from appo_core.rollout.engines.base import Engine, EngineError, Generation, SamplingParams
from appo_core.rollout.engines.weights import expected_shapes

__all__ = ["Engine", "EngineError", "Generation", "SamplingParams", "build_engine"]


def build_engine(
    settings: EngineSettings,
    model: Path,
    *,
    max_model_len: int,
    dtype: Literal["fp32", "bf16"] = "fp32",
    seed: int = 0,
) -> Engine:
    """Start the engine that `settings` name over the model folder `model`; the caller closes it.

    `max_model_len` bounds prompt and response together, in tokens. Raises `EngineError` when the folder holds no model
    or the engine does not start.
    """
    if not (model / "config.json").is_file():
        raise EngineError(f"{model}: no config.json; give a Hugging Face model folder")
    expected_shapes(model)
    if settings.kind == "vllm":
        from appo_core.rollout.engines.vllm_engine import VllmEngine

        return VllmEngine(settings, model, max_model_len=max_model_len, dtype=dtype, seed=seed)
    from appo_core.rollout.engines.transformers_engine import TransformersEngine

    return TransformersEngine(
        model, max_model_len=max_model_len, dtype=dtype, seed=seed, max_in_flight=settings.max_in_flight
    )
