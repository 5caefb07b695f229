"""Settings of the data stage: where rows come from and what is repaired or refused."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from appo_core.config.base import Settings


class DemoSource(Settings):
    """The deterministic demo world, made by the project itself."""

    kind: Literal["demo"] = "demo"
    sft_rows: PositiveInt = 2400
    """Conversations for the cold start; their plans are imperfect on purpose."""
    rl_rows: PositiveInt = 1200
    """Prompts for reinforcement learning."""
    valid_rows: PositiveInt = 64
    """Held-out prompts for validation during reinforcement learning."""
    benchmark_rows: PositiveInt = 32
    """Questions in each miniature benchmark."""
    good_plan_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of cold-start conversations that follow the right plan."""
    search_results: PositiveInt = 1
    """Documents in a recorded search result; the same as the rollouts' `tools.search.max_results`."""
    seed: int = 7
    """Seed of the world: facts, questions and splits."""


class FileSource(Settings):
    """Files the user already has; every path may be an fsspec URL."""

    kind: Literal["files"] = "files"
    sft: str | None = None
    """ShareGPT conversations (JSON lines) for the cold start."""
    rl_train: tuple[str, ...]
    """Parquet files with RL prompts."""
    rl_valid: tuple[str, ...] = ()
    """Parquet files with validation prompts."""
    benchmarks: str | None = None
    """Folder with one `<benchmark>.jsonl[.gz]` or `<benchmark>/test.jsonl` per benchmark."""
    corpus: str | None = None
    """JSON lines with `id`, `title`, `text` for the local search back end."""
    search_cache: str | None = None
    """Recorded search results: JSON object query -> result text (may be gzipped)."""
    licence: str = ""
    """Licence of the rows; recorded in the lineage."""
    max_rows: PositiveInt | None = None
    """Keep only the first rows of each split; for trials."""


class DataSettings(Settings):
    """What the data stage reads, repairs and refuses."""

    source: Annotated[DemoSource | FileSource, Field(discriminator="kind")] = DemoSource()
    """Where the rows come from."""
    repair: bool = True
    """Repair known faults of published rows (U+0008 where `\\b` of `\\boxed` was meant); the repair is counted."""
    decontaminate: Literal["drop", "fail", "off"] = "drop"
    """Training and validation rows whose question is a benchmark item: drop them, fail, or leave them in."""
