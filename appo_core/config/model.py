"""Settings of the base model that the chain starts from."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from appo_core.config.base import Settings


class TinyModel(Settings):
    """A Qwen3-shaped model of a few million parameters, built at run time from a seed."""

    kind: Literal["tiny"] = "tiny"
    hidden_size: PositiveInt = 192
    layers: PositiveInt = 4
    heads: PositiveInt = 6
    key_value_heads: PositiveInt = 3
    head_dim: PositiveInt = 32
    intermediate_size: PositiveInt = 640
    vocabulary: PositiveInt = 2048
    """Upper bound of the trained byte-level BPE vocabulary."""
    max_positions: PositiveInt = 1024
    initializer_range: PositiveFloat = 0.06
    """Standard deviation of the weights: near 1/sqrt(hidden_size), so that attention learns to copy within a few
    hundred steps (0.02, right for large models, needs several times as many)."""
    seed: int = 0
    """Seed of the weights."""


class LocalModel(Settings):
    """A Hugging Face model folder."""

    kind: Literal["path"] = "path"
    path: str
    """Folder with config.json, tokenizer and safetensors."""
    licence: str = ""
    """Licence of the weights; recorded in the lineage."""


BaseModelSettings = Annotated[TinyModel | LocalModel, Field(discriminator="kind")]
