"""vLLM in a process of its own: ``python -m appo_core.rollout.engines.vllm_worker ADDRESS``.

A process of its own keeps vLLM's changes to process-wide state (torch's thread count, its distributed groups,
LD_PRELOAD) away from the trainer, and lets generation run beside tools without sharing an interpreter lock.

Messages are pickled over a Unix socket at ADDRESS. In: `Start`, then `Generate`, `Abort`, `Weights`, `Close`.
Out: `Ready` or `Failed`, then lists of `Done`, `Refused` and `Updated`. A closed connection ends the process.
"""

import contextlib
import math
import os
import sys
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Client
from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING, Any, Literal

from appo_core.rollout.engines.base import Generation, SamplingParams
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vllm import SamplingParams as VllmSampling
    from vllm.logprobs import Logprob
    from vllm.outputs import CompletionOutput, RequestOutput


_ENTROPY_LIST = 10
"""Likeliest tokens listed for an entropy."""


class WeightLoader:
    """Mixed into vLLM's workers: loads Hugging Face weights in place."""

    def load_safetensors(self, path: str) -> None:
        """Replace the model's weights by those in `path`.

        With tied embeddings vLLM's CPU build multiplies with a packed copy of lm_head, which reloading leaves as it
        was: it is packed again.
        """
        from safetensors.torch import load_file
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

        runner: Any = self.model_runner  # type: ignore[attr-defined]
        runner.reload_weights(weights_iterator=iter(load_file(path).items()))
        for module in runner.get_model().modules():
            if isinstance(module, ParallelLMHead) and module.quant_method is not None:
                module.quant_method.process_weights_after_loading(module)


@dataclass
class Worker:
    """Steps vLLM's engine and serves messages between two steps."""

    engine: Any
    pipe: "Pipe[Any, Any]"
    version: int = 0
    waiting: deque[Any] = field(default_factory=deque)
    closing: bool = False
    entropy_tokens: dict[int, int] = field(default_factory=dict)
    """Request -> how many entropies it wants, if any."""

    def serve(self) -> None:
        """Run until `Close` or until the other end is gone."""
        while not self.closing:
            busy = self.engine.has_unfinished_requests()
            while self.pipe.poll(0 if busy or self.waiting else None):
                self.waiting.append(self.pipe.recv())
                busy = True
            self._handle_waiting()
            if self.engine.has_unfinished_requests():
                self._send([self._done(output) for output in self.engine.step() if output.finished])

    def _handle_waiting(self) -> None:
        """Handle messages in their order; `Weights` waits for the running requests, later messages wait behind it."""
        while self.waiting and not self.closing:
            if isinstance(self.waiting[0], Weights) and self.engine.has_unfinished_requests():
                self._handle_aborts()
                return
            self._handle(self.waiting.popleft())

    def _handle_aborts(self) -> None:
        for message in [message for message in self.waiting if isinstance(message, Abort | Close)]:
            self.waiting.remove(message)
            self._handle(message)

    def _handle(self, message: Any) -> None:
        match message:
            case Generate():
                self._add(message)
            case Abort(key=key):
                self.engine.abort_request([str(key)])
                self.entropy_tokens.pop(key, None)
            case Weights():
                self._send([self._update(message)])
            case Close():
                self.closing = True

    def _add(self, message: Generate) -> None:
        from vllm import TokensPrompt

        try:
            prompt = TokensPrompt(prompt_token_ids=message.prompt_ids)
            self.engine.add_request(str(message.key), prompt, _vllm_sampling(message.sampling))
            if message.sampling.entropy_tokens:
                self.entropy_tokens[message.key] = message.sampling.entropy_tokens
        except Exception as error:  # noqa: BLE001 - goes to the caller as EngineError
            self._send([Refused(message.key, str(error))])

    def _update(self, message: Weights) -> Updated:
        try:
            self.engine.collective_rpc("load_safetensors", args=(message.path,))
            if not self.engine.reset_prefix_cache():
                return Updated(message.version, "the prefix cache was not reset")
        except Exception as error:  # noqa: BLE001 - goes to the caller as EngineError
            return Updated(message.version, f"{type(error).__name__}: {error}")
        self.version = message.version
        return Updated(message.version)

    def _done(self, output: "RequestOutput") -> Done:
        completion, key = output.outputs[0], int(output.request_id)
        ids = list(completion.token_ids)
        generation = Generation(
            token_ids=ids,
            logprobs=[entry[token].logprob for entry, token in zip(completion.logprobs or (), ids, strict=True)],
            finish=_finish(completion),
            stop=completion.stop_reason if isinstance(completion.stop_reason, str) else None,
            weights_version=self.version,
            cached_tokens=output.num_cached_tokens or 0,
            entropies=[_entropy(entry) for entry in (completion.logprobs or ())[: self.entropy_tokens.pop(key, 0)]],
        )
        return Done(key, generation)

    def _send(self, messages: list[Any]) -> None:
        if messages:
            self.pipe.send(messages)


def _entropy(entry: "Mapping[int, Logprob]") -> float:
    """Entropy over the listed tokens, without renormalising."""
    return -sum(math.exp(item.logprob) * item.logprob for item in entry.values())


def _finish(completion: "CompletionOutput") -> Literal["stop", "eos", "length"]:
    if completion.finish_reason == "length":
        return "length"
    return "stop" if isinstance(completion.stop_reason, str) else "eos"


def _vllm_sampling(sampling: SamplingParams) -> "VllmSampling":
    """vLLM's form of `sampling`: the chosen token's log-prob, more for entropies, one output at the end."""
    from vllm import SamplingParams as VllmSampling
    from vllm.sampling_params import RequestOutputKind

    return VllmSampling(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        stop=list(sampling.stop),
        seed=sampling.seed,
        logprobs=_ENTROPY_LIST if sampling.entropy_tokens else 0,
        include_stop_str_in_output=True,
        skip_special_tokens=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _build(start: Start) -> Any:
    """Start vLLM's engine in this process; on a CPU without compilation."""
    import torch

    arguments = dict(start.arguments)
    if not torch.cuda.is_available():
        os.environ["TORCH_COMPILE_DISABLE"] = "1"
        arguments |= {"enforce_eager": True, "block_size": 32}
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    return LLMEngine.from_engine_args(EngineArgs(**arguments), enable_multiprocessing=False)


def main() -> None:
    """Entry point: ADDRESS of the socket the parent listens on."""
    pipe: Pipe[Any, Any] = Client(sys.argv[1], "AF_UNIX")
    try:
        engine = _build(pipe.recv())
        pipe.send(Ready())
        Worker(engine, pipe).serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(Failed(f"{type(error).__name__}: {error}"))
        raise
    os._exit(0)  # the guard ends what vLLM started; tearing torch and vLLM down in order takes seconds


if __name__ == "__main__":
    main()
