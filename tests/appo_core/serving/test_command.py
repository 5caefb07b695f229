"""What the server is started with."""

from itertools import pairwise
from pathlib import Path

import pytest

from appo_core.config.serve import ServeSettings
from appo_core.jobs.contract import JobError
from appo_core.serving.command import server_command, server_environment
from appo_core.serving.log_cause import cause


def pairs(settings: ServeSettings, *, cpu: bool) -> dict[str, str]:
    """Options with a value."""
    argv = server_command(Path("m"), "model/demo@1", settings, 8000, cpu=cpu)
    return {name: value for name, value in pairwise(argv) if name.startswith("--")}


def test_cpu_has_a_bounded_cache_and_no_compiler() -> None:
    options = pairs(ServeSettings(kv_cache_mb=256), cpu=True)
    assert options["--kv-cache-memory-bytes"] == str(256 * 2**20)
    assert options["--host"] == "127.0.0.1"
    assert "--gpu-memory-utilization" not in options
    assert {"--enforce-eager", "--no-enable-chunked-prefill"} <= set(
        server_command(Path("m"), "n", ServeSettings(kv_cache_mb=1), 1, cpu=True)
    )
    assert server_environment(cpu=True)["TORCH_COMPILE_DISABLE"] == "1"


def test_gpu_shares_memory_and_tensors() -> None:
    options = pairs(ServeSettings(tensor_parallel=2), cpu=False)
    assert (options["--tensor-parallel-size"], options["--gpu-memory-utilization"]) == ("2", "0.75")
    assert "TORCH_COMPILE_DISABLE" not in server_environment(cpu=False)


@pytest.mark.parametrize(
    ("settings", "key"), [(ServeSettings(), "kv_cache_mb"), (ServeSettings(kv_cache_mb=1, tensor_parallel=2), "tensor")]
)
def test_what_a_cpu_cannot_do_is_named(settings: ServeSettings, key: str) -> None:
    with pytest.raises(JobError, match=key):
        server_command(Path("m"), "n", settings, 1, cpu=True)


def test_cause_is_the_first_hand_error() -> None:
    lines = [
        "INFO starting",
        "(EngineCore pid=7) ERROR 11-21 [core.py:1] ValueError: max_model_len 9 is too large",
        "(APIServer pid=6) RuntimeError: Engine core initialization failed. See root cause above.",
        "",
    ]
    assert cause(lines) == "ValueError: max_model_len 9 is too large"
    assert cause(["INFO: only this", ""]) == "INFO: only this"
    assert cause(["pydantic.ValidationError: 1 error for X", "  Value error, too long", "  For more"]) == (
        "Value error, too long"
    )
    assert cause([]) == "no output"
