"""Settings of the merge stage."""

from typing import Annotated, Literal

from pydantic import Field

from appo_core.config.base import Settings


class MergeSettings(Settings):
    """DCP shards to Hugging Face safetensors."""

    dtype: Literal["bf16", "fp32"] = "bf16"
    """Data type of the written weights."""
    max_logprob_difference: Annotated[float, Field(gt=0)] = 0.05
    """Largest log-prob difference, in nats, between the sharded and the merged model that is accepted."""
