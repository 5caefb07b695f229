"""transformers in this process: continuous batching, on any device.

A worker thread runs one decoding step after another over all running requests; new requests join between two steps.
Correct before fast: vLLM is the engine for volume.
"""

import asyncio
import queue
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from appo_core.algorithm import token_entropy
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import EngineError, Generation, SamplingParams
from appo_core.rollout.engines.decoding import Batch, Row
from appo_core.rollout.engines.sampling import draw

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class _Request:
    row: Row
    future: "Future[Any]"


@dataclass
class _Update:
    weights: "dict[str, Tensor]"
    version: int
    future: "Future[Any]"


class TransformersEngine:
    """A causal language model with asynchronous requests; log-probs at temperature 1 over the whole vocabulary."""

    def __init__(
        self,
        model: Path,
        *,
        max_model_len: int,
        dtype: Literal["fp32", "bf16"],
        seed: int,
        max_in_flight: int = 256,
    ) -> None:
        from transformers import AutoModelForCausalLM

        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(str(model), dtype=_DTYPES[dtype], local_files_only=True)
        except (OSError, ValueError) as error:
            raise EngineError(f"{model}: not a loadable model: {str(error).splitlines()[0]}") from error
        self._model = loaded.to(device).eval()
        self._codec = Codec.load(model)
        self._eos = _eos_ids(self._model, self._codec)
        self._max_model_len = max_model_len
        self._max_in_flight = max_in_flight
        self._generator = torch.Generator(device).manual_seed(seed)
        self._inbox: queue.Queue[_Request | _Update | None] = queue.Queue()
        self._version = 0
        self._running: list[_Request] = []
        self._batch = Batch(self._model)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="transformers-engine", daemon=True)
        self._thread.start()

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        """Continue `prompt_ids`; raises `EngineError` when they fill the model's length, and once closed."""
        room = self._max_model_len - len(prompt_ids)
        if room <= 0 or not prompt_ids:
            raise EngineError(f"prompt of {len(prompt_ids)} tokens; between 1 and {self._max_model_len - 1} fit")
        generator = self._generator
        if sampling.seed is not None:
            generator = torch.Generator(self._model.device).manual_seed(sampling.seed)
        row = Row(list(prompt_ids), sampling, generator, min(room, sampling.max_tokens))
        generation: Generation = await self._ask(_Request(row, Future()))
        return generation

    async def update_weights(self, weights: "Iterable[tuple[str, Tensor]]", version: int) -> None:
        """Replace the weights once the running requests have ended; requests made later wait for the new ones.

        Raises `EngineError` for a name the model does not have, a shape that differs and a weight left out.
        """
        named = {name: tensor.detach() for name, tensor in weights}
        await self._ask(_Update(named, version, Future()))

    async def close(self) -> None:
        """End the worker thread; requests still running fail. Safe to call twice."""
        self._closed = True
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _ask(self, item: _Request | _Update) -> Any:
        if self._closed:
            raise EngineError("the engine is closed")
        self._inbox.put(item)
        return await asyncio.wrap_future(item.future)

    @torch.no_grad()
    def _work(self) -> None:
        """The worker thread: admit, step, hand out what has ended."""
        held: _Update | None = None
        while not self._closed:
            held = self._admit(held)
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - goes to the callers as EngineError
                self._fail(self._running, f"generation failed: {type(error).__name__}: {error}")
                self._running = []
        left: list[Any] = [*self._running, held]
        while not self._inbox.empty():
            left.append(self._inbox.get())
        self._fail([item for item in left if item is not None], "the engine is closed")

    def _admit(self, held: _Update | None) -> _Update | None:
        """Take new requests; an update that is due waits for the running requests and holds later ones back."""
        while True:
            if held is not None:
                if self._running:
                    return held
                self._update(held)
                held = None
            if len(self._running) >= self._max_in_flight or (self._running and self._inbox.empty()):
                return None
            item = self._inbox.get()
            if item is None:
                return None
            if isinstance(item, _Update):
                held = item
            else:
                self._running.append(item)

    def _step(self) -> None:
        """One token for every running request; those that ended get their result."""
        self._running = [request for request in self._running if not request.future.cancelled()]
        rows = [request.row for request in self._running]
        if not rows:
            self._batch.clear()
            return
        logits_BV = self._batch.logits(rows)
        logprobs_BV = logits_BV.float().log_softmax(-1)
        for index, row in enumerate(rows):
            if len(row.token_ids) < row.sampling.entropy_tokens:
                row.entropies.append(float(token_entropy(logits_BV[index])))
            token = draw(logits_BV[index], row.sampling, row.prompt_ids + row.token_ids, row.generator)
            row.append(token, float(logprobs_BV[index, token]), self._eos, self._codec)
        for request in self._running:
            if request.row.finish is not None:
                _settle(request.future, request.row.generation(self._version))
        self._running = [request for request in self._running if request.row.finish is None]

    def _update(self, update: _Update) -> None:
        try:
            _load(self._model, update.weights)
        except ValueError as error:
            self._fail([update], f"weights of version {update.version} were not taken: {error}")
            return
        self._version = update.version
        _settle(update.future, None)

    def _fail(self, items: Sequence[_Request | _Update], cause: str) -> None:
        for item in items:
            _settle(item.future, EngineError(cause))


def _settle(future: "Future[Any]", value: Any) -> None:
    """Give a future its result or error, unless its caller has gone."""
    with suppress(InvalidStateError):
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)


def _eos_ids(model: Any, codec: Codec) -> frozenset[int]:
    """The tokenizer's end-of-sequence id and those of the generation config."""
    configured = model.generation_config.eos_token_id
    more = configured if isinstance(configured, list) else [configured]
    return frozenset({codec.eos_id, *(int(token) for token in more if token is not None)})


def _load(model: Any, weights: "dict[str, Tensor]") -> None:
    """Copy weights in place, all or none; raises `ValueError` for names or shapes that do not fit."""
    own = model.state_dict()
    unknown = sorted(set(weights) - set(own))
    given = {own[name].data_ptr() for name in weights if name in own}
    missing = sorted(name for name in own if name not in weights and own[name].data_ptr() not in given)
    wrong = sorted(name for name in weights if name in own and own[name].shape != weights[name].shape)
    for problem, names in (("unknown", unknown), ("missing", missing), ("of another shape", wrong)):
        if names:
            raise ValueError(f"{len(names)} {problem}, first {names[0]}")
    for name, tensor in weights.items():
        own[name].copy_(tensor)
