"""vLLM as a child process of this one: asynchronous requests, weights replaced in place.

One message carries each request and one its result; weights travel through a file in shared memory.
"""

import asyncio
import itertools
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any, Literal

from appo_core.config.rollout import EngineSettings
from appo_core.processes import Process, clean_environment
from appo_core.rollout.engines.base import EngineError, Generation, SamplingParams
from appo_core.rollout.engines.vllm_messages import (
    Abort,
    Close,
    Done,
    Failed,
    Generate,
    Ready,
    Refused,
    Start,
    Updated,
    Weights,
)
from appo_core.rollout.engines.weights import expected_shapes, write_weights

if TYPE_CHECKING:
    from torch import Tensor

START_TIMEOUT_S = 600.0
CLOSE_TIMEOUT_S = 15.0
_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
_LOG_TAIL = 3
_LEAST_BATCHED_TOKENS = 8192

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


@dataclass
class _Waiters:
    """Futures by key, resolved from the reader thread in the loop each belongs to."""

    entries: dict[Any, _Waiter] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    broken: str | None = None
    """Why no answer will come any more."""

    def add(self, key: Any) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self.lock:
            if self.broken is not None:
                raise EngineError(self.broken)
            self.entries[key] = (loop, future)
        return future

    def resolve(self, key: Any, value: Any) -> None:
        with self.lock:
            waiter = self.entries.pop(key, None)
        if waiter is not None:
            with suppress(RuntimeError):  # that loop has been closed: nobody waits
                waiter[0].call_soon_threadsafe(_set, waiter[1], value)

    def break_all(self, cause: str) -> None:
        with self.lock:
            self.broken = self.broken or cause
            keys = list(self.entries)
        for key in keys:
            self.resolve(key, EngineError(cause))


def _set(future: "asyncio.Future[Any]", value: Any) -> None:
    if future.done():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)


class VllmEngine:
    """vLLM in a child process; the first call may come from any event loop. Close it, or it ends with this process."""

    def __init__(
        self, settings: EngineSettings, model: Path, *, max_model_len: int, dtype: Literal["fp32", "bf16"], seed: int
    ) -> None:
        arguments = _arguments(settings, model, max_model_len, dtype, seed)
        self._shapes = expected_shapes(model)
        self._keys = itertools.count()
        self._waiters = _Waiters()
        self._send_lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="appo-vllm-")
        self._log = Path(self._folder.name) / "vllm.log"
        self._process, self._pipe = self._spawn()
        try:
            self._pipe.send(Start(arguments))
            answer = self._pipe.recv() if self._pipe.poll(START_TIMEOUT_S) else Failed("no answer")
        except (EOFError, OSError):
            answer = Failed(self._last_words())
        if not isinstance(answer, Ready):
            self._end()
            raise EngineError(f"vLLM did not start: {answer.cause}")
        threading.Thread(target=self._read, name="vllm-reader", daemon=True).start()

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        """Continue `prompt_ids`; log-probs are vLLM's raw ones (temperature 1, no top-p, no top-k).

        Raises `EngineError` for a request vLLM refuses and when the process has ended.
        """
        key = next(self._keys)
        future = self._waiters.add(key)
        self._send(Generate(key, list(prompt_ids), sampling))
        try:
            generation: Generation = await future
        except asyncio.CancelledError:
            with suppress(EngineError):
                self._send(Abort(key))
            raise
        return generation

    async def update_weights(self, weights: "Iterable[tuple[str, Tensor]]", version: int) -> None:
        """Replace the weights once the running requests have ended; requests made later wait for the new ones.

        Takes each tensor to the CPU. Raises `EngineError` when vLLM does not take them.
        """
        path = write_weights(weights, self._shapes)
        try:
            future = self._waiters.add(("weights", version))
            self._send(Weights(str(path), version))
            await future
        finally:
            path.unlink(missing_ok=True)

    async def close(self) -> None:
        """End vLLM and every process it started; safe to call twice."""
        self._waiters.break_all("the engine is closed")
        with suppress(EngineError):
            self._send(Close())
        await asyncio.to_thread(self._end)

    def _spawn(self) -> tuple[Process, "Connection[Any, Any]"]:
        """Start the child and wait for it to connect."""
        address = str(Path(self._folder.name) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen(1)
            listener.settimeout(0.2)
            argv = [sys.executable, "-m", "appo_core.rollout.engines.vllm_worker", address]
            process = Process.start(argv, env=_environment(), log=self._log)
            while process.poll() is None:
                with suppress(TimeoutError):
                    accepted, _ = listener.accept()
                    accepted.setblocking(True)
                    return process, Connection(accepted.detach())
        raise EngineError(f"vLLM did not start: {self._tail()}")

    def _send(self, message: Any) -> None:
        try:
            with self._send_lock:
                self._pipe.send(message)
        except OSError as error:
            raise EngineError(self._waiters.broken or self._last_words()) from error

    def _read(self) -> None:
        """Hand answers to their waiters until the child is gone."""
        cause = None
        try:
            while True:
                answer = self._pipe.recv()
                if isinstance(answer, Failed):
                    cause = f"vLLM broke down: {answer.cause}"
                    continue
                for message in answer:
                    self._hand_over(message)
        except (EOFError, OSError):
            self._waiters.break_all(cause or self._last_words())

    def _hand_over(self, message: Done | Refused | Updated) -> None:
        match message:
            case Done(key=key, generation=generation):
                self._waiters.resolve(key, generation)
            case Refused(key=key, cause=cause):
                self._waiters.resolve(key, EngineError(f"vLLM refused the request: {cause}"))
            case Updated(version=version, cause=None):
                self._waiters.resolve(("weights", version), None)
            case Updated(version=version, cause=cause):
                self._waiters.resolve(
                    ("weights", version), EngineError(f"weights of version {version} were not taken: {cause}")
                )

    def _last_words(self) -> str:
        return f"the vLLM process has ended; its last words: {self._tail()}"

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return " | ".join(line.strip() for line in lines[-_LOG_TAIL:]) or "(none)"

    def _end(self) -> None:
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except TimeoutExpired:
            self._process.stop()
        with suppress(OSError):
            self._pipe.close()
        self._folder.cleanup()


def _environment() -> dict[str, str]:
    """The child's environment: without torchrun's variables, which vLLM would take for its own."""
    extra = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    extra |= own_device(os.environ)
    return {key: value for key, value in clean_environment(extra).items() if key not in _TORCHRUN}


def own_device(environment: Mapping[str, str]) -> dict[str, str]:
    """The GPU of this rank, where torchrun started several: without it every rank's vLLM would take the first one."""
    rank = environment.get("LOCAL_RANK")
    if rank is None:
        return {}
    visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {"CUDA_VISIBLE_DEVICES": visible[int(rank)] if len(visible) > int(rank) and visible[0] else rank}


def _arguments(settings: EngineSettings, model: Path, max_model_len: int, dtype: str, seed: int) -> dict[str, Any]:
    """Arguments of vLLM's engine; raises `EngineError` when a CPU has no cache size."""
    import torch

    if settings.kv_cache_mb is None and not torch.cuda.is_available():
        raise EngineError("engine.kv_cache_mb is not set; on a CPU give a size, for example 512")
    return {
        "model": str(model),
        "dtype": _DTYPES[dtype],
        "seed": seed,
        "max_model_len": max_model_len,
        "max_num_seqs": settings.max_in_flight,
        "tensor_parallel_size": settings.tensor_parallel,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "kv_cache_memory_bytes": settings.kv_cache_mb * 2**20 if settings.kv_cache_mb else None,
        "enable_prefix_caching": True,
        "logprobs_mode": "raw_logprobs",
        "disable_log_stats": True,
        "worker_extension_cls": "appo_core.rollout.engines.vllm_worker.WeightLoader",
        **({} if torch.cuda.is_available() else _whole_prefills(max_model_len)),
    }


def _whole_prefills(max_model_len: int) -> dict[str, Any]:
    """No prompt in pieces: vLLM would rewind the request's seeded generator, which torch's CPU generator cannot."""
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(max_model_len, _LEAST_BATCHED_TOKENS)}
