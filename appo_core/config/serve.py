"""Settings of the serving stage (vLLM's OpenAI-compatible server)."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from appo_core.config.base import Settings


class ServeSettings(Settings):
    """One vLLM server, started, checked and stopped by the flow."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes a free port."""
    max_model_len: PositiveInt = 32768
    dtype: Literal["auto", "bfloat16", "float32", "float16"] = "auto"
    tensor_parallel: PositiveInt = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.75
    kv_cache_mb: PositiveInt | None = None
    """Key-value cache size; required on CPUs."""
    max_num_seqs: PositiveInt = 256
    start_timeout_s: PositiveFloat = 600.0
    """How long the server may take to become healthy."""
    seed: int = 0
