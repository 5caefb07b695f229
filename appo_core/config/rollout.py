"""Settings of rollouts: sampling, the tool loop, tools and engines."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from appo_core.config.base import Settings


class SamplingSettings(Settings):
    """How tokens are drawn."""

    temperature: Annotated[float, Field(ge=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: int = -1
    """Keep the k most likely tokens; -1 keeps all."""
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: PositiveFloat = 1.0


class PythonToolSettings(Settings):
    """The sandboxed Python interpreter."""

    enabled: bool = True
    backend: Literal["auto", "bubblewrap", "sandlock"] = "auto"
    """`auto` takes bubblewrap where it works, else sandlock, else refuses to run model-written code."""
    timeout_s: PositiveFloat = 30.0
    """Wall-clock limit of one call."""
    memory_mb: PositiveInt = 512
    max_output_chars: PositiveInt = 10_000
    workers: PositiveInt = 4
    """Calls that run at the same time."""


class BingSearchSettings(Settings):
    """Bing through Bright Data; the key comes from the environment or a Prefect block, never from a file."""

    endpoint: str = "https://api.brightdata.com/request"
    key_env: str = "BRIGHTDATA_API_KEY"
    """Environment variable that holds the key."""
    zone: str = "web_unlocker1"
    country: str = "us"
    timeout_s: PositiveFloat = 60.0
    attempts: PositiveInt = 3
    requests_per_second: PositiveFloat = 4.0


class SearchToolSettings(Settings):
    """The search tool and its back end."""

    enabled: bool = True
    backend: Literal["corpus", "recorded", "bing"] = "corpus"
    """`corpus`: BM25 over the dataset's corpus.jsonl; `recorded`: recorded results; `bing`: recorded, then live."""
    max_results: PositiveInt = 10
    max_result_chars: PositiveInt = 1000
    bing: BingSearchSettings = BingSearchSettings()


class ToolSettings(Settings):
    """The tools an agent may call."""

    python: PythonToolSettings = PythonToolSettings()
    search: SearchToolSettings = SearchToolSettings()
    attempts: PositiveInt = 1
    """Attempts per call when a tool *fails* (an empty output is an output, not a failure)."""


class PromptSettings(Settings):
    """What stands before the question."""

    system: str = "code_search"
    """Name of a built-in system prompt (`code_search`, `search`, `math`, `base`, `demo`), or `row`: the row's own."""


class LoopLimits(Settings):
    """Bounds of one trajectory; token counts include injected tool results."""

    max_prompt_tokens: PositiveInt = 2048
    max_response_tokens: PositiveInt = 6144
    call_limit: NonNegativeInt = 3
    """Tool calls per trajectory, all tools together; at the limit the model is told so and may still answer."""
    max_result_tokens: PositiveInt = 2048
    """A longer tool result is cut here."""


class EngineSettings(Settings):
    """The inference engine inside the RL process."""

    kind: Literal["vllm", "transformers"] = "vllm"
    max_in_flight: PositiveInt = 256
    """Trajectories in flight at once. Which of them share a batch depends on timing, and the last bits of their
    log-probs on that; 1 makes a run of the transformers engine repeat bit for bit, at a price."""
    kv_cache_mb: PositiveInt | None = None
    """Key-value cache size; required on CPUs, where vLLM's own default takes most of the memory."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.5
    max_logprob_gap: PositiveFloat = 0.2
    """Largest mean difference, in nats, between the log-probs of engine and trainer where both hold the same weights;
    beyond it the run stops, because the engine does not sample from the policy."""
    tensor_parallel: PositiveInt = 1
