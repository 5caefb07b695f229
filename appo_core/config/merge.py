"""Settings of the merge stage."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from appo_core.config.base import Settings


class PublishedCheckpoint(Settings):
    """A checkpoint of the store."""

    kind: Literal["published"] = "published"


class CheckpointFolder(Settings):
    """Weights from outside the store: shards written by verl's FSDP trainer, a PEFT adapter, or shards of ours.

    Which of them it is shows from the files that are there.
    """

    kind: Literal["path"] = "path"
    path: str
    """Folder or fsspec URL: `<save>/global_step_30[/actor]` of verl, or the folder with adapter_config.json."""
    base: str | None = None
    """Model folder or URL below an adapter; by default the one that its adapter_config.json names."""
    licence: str = ""
    """Licence of the weights; recorded in the lineage."""


class MergeSettings(Settings):
    """Sharded weights, or an adapter and its base model, to Hugging Face safetensors."""

    source: Annotated[PublishedCheckpoint | CheckpointFolder, Field(discriminator="kind")] = PublishedCheckpoint()
    """What is merged."""
    dtype: Literal["bf16", "fp32"] = "bf16"
    """Data type of the written weights."""
    max_logprob_difference: Annotated[float, Field(gt=0)] = 0.05
    """Largest log-prob difference, in nats, between the weights as they came and the merged model."""

    @model_validator(mode="before")
    @classmethod
    def _path_speaks_for_itself(cls, given: Any) -> Any:
        """`source.path` without `source.kind` means a path."""
        source = given.get("source") if isinstance(given, Mapping) else None
        if isinstance(source, Mapping) and "path" in source and "kind" not in source:
            return {**given, "source": {"kind": "path", **source}}
        return given
