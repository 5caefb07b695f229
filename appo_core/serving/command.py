"""The command line and environment of a vLLM server."""

from pathlib import Path

from appo_core.config.serve import ServeSettings
from appo_core.jobs.contract import JobError

MAX_LOGPROBS = 20
CPU_FLAGS = ("--enforce-eager", "--no-enable-chunked-prefill")
"""A prompt prefilled in pieces rewinds the request's random generator, which torch's CPU generator cannot: with a seed
per request, the whole engine dies of it."""
LEAST_BATCHED_TOKENS = 8192
_MIB = 2**20


def server_command(model: Path, served_name: str, settings: ServeSettings, port: int, *, cpu: bool) -> list[str]:
    """Arguments behind `python` for vLLM's server; raises `JobError` for what this machine cannot do."""
    arguments = {
        "--model": str(model),
        "--served-model-name": served_name,
        "--host": settings.host,
        "--port": str(port),
        "--max-model-len": str(settings.max_model_len),
        "--dtype": settings.dtype,
        "--max-num-seqs": str(settings.max_num_seqs),
        "--max-logprobs": str(MAX_LOGPROBS),
        "--seed": str(settings.seed),
        **(_cpu_arguments(settings) if cpu else _gpu_arguments(settings)),
    }
    flags = ["--enable-prefix-caching", "--disable-uvicorn-access-log", *(CPU_FLAGS if cpu else ())]
    module = ["-P", "-m", "vllm.entrypoints.openai.api_server"]  # the `vllm` command fails in the CPU build
    return [*module, *(part for pair in arguments.items() for part in pair), *flags]


def _cpu_arguments(settings: ServeSettings) -> dict[str, str]:
    if settings.kv_cache_mb is None:
        raise JobError(
            "serve.kv_cache_mb is not set, and on a CPU vLLM would take most of the memory",
            remedy="set it, for example to 1024",
        )
    if settings.tensor_parallel > 1:
        raise JobError("serve.tensor_parallel is above 1 on a machine without GPU", remedy="set it to 1")
    return {
        "--kv-cache-memory-bytes": str(settings.kv_cache_mb * _MIB),
        "--max-num-batched-tokens": str(max(settings.max_model_len, LEAST_BATCHED_TOKENS)),
        "--distributed-executor-backend": "uni",  # one process less, each takes seconds to import vLLM
    }


def _gpu_arguments(settings: ServeSettings) -> dict[str, str]:
    arguments = {
        "--tensor-parallel-size": str(settings.tensor_parallel),
        "--gpu-memory-utilization": str(settings.gpu_memory_utilization),
    }
    if settings.kv_cache_mb is not None:
        arguments["--kv-cache-memory-bytes"] = str(settings.kv_cache_mb * _MIB)
    return arguments


def server_environment(*, cpu: bool) -> dict[str, str]:
    """Variables for the server: offline, no telemetry; on a CPU no compiler and no pinned threads."""
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    if not cpu:
        return quiet
    return quiet | {
        "OMP_NUM_THREADS": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # without it the CPU build turns `uni` back into `mp`
    }
