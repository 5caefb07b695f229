"""An OpenAI-compatible server as engine: token ids in, token ids out, over `/v1/completions`.

Written against vLLM's server, which takes prompts as token ids and returns token ids (`return_token_ids`). A server
that returns none gets its text encoded again: good enough to evaluate, not to train on, since the ids may differ from
the sampled ones; `exact_ids` is then False.
"""

import json
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.base import EngineError, Generation, SamplingParams

if TYPE_CHECKING:
    from torch import Tensor

KEEPALIVE_S = 4.0
"""Idle connections are dropped before uvicorn, which vLLM serves with, drops them (5 s)."""


class HttpEngine:
    """Requests to `base_url` (with or without `/v1`) for the model served as `model`."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        codec: Codec,
        concurrency: int = 64,
        timeout_s: float = 600.0,
        connect_timeout_s: float = 10.0,
        api_key: str | None = None,
    ) -> None:
        root = base_url.rstrip("/").removesuffix("/v1")
        self._url = f"{root}/v1/completions"
        self._model = model
        self._codec = codec
        self.exact_ids = True
        """False once the server has answered without token ids."""
        self._concurrency = concurrency
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_timeout_s)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else None
        self._session: aiohttp.ClientSession | None = None

    async def generate(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> Generation:
        """Continue `prompt_ids`; raises `EngineError` for connection errors, time-outs and refusals."""
        try:
            async with self._connections().post(self._url, json=self._body(prompt_ids, sampling)) as response:
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineError(f"{self._url}: {type(error).__name__} {error}".rstrip()) from error
        if status != HTTPStatus.OK:
            raise EngineError(f"{self._url}: HTTP {status}: {' '.join(text.split())[:300]}")
        try:
            return self._generation(json.loads(text), sampling)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineError(f"{self._url}: answer is no completion: {type(error).__name__} {error}") from error

    def _connections(self) -> aiohttp.ClientSession:
        """The session, opened inside the running event loop on first use."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._concurrency, keepalive_timeout=KEEPALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, headers=self._headers)
        return self._session

    async def update_weights(self, weights: "Iterable[tuple[str, Tensor]]", version: int) -> None:  # noqa: ARG002
        """Not possible over HTTP: always raises `EngineError`."""
        raise EngineError(f"{self._url}: weights cannot be replaced over HTTP; serve the new model and connect to it")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _body(self, prompt_ids: Sequence[int], sampling: SamplingParams) -> dict[str, Any]:
        body = {
            "model": self._model,
            "prompt": list(prompt_ids),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repetition_penalty": sampling.repetition_penalty,
            "stop": list(sampling.stop),
            "seed": sampling.seed,
            "logprobs": 0,
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        return {key: value for key, value in body.items() if value is not None}

    def _generation(self, answer: dict[str, Any], sampling: SamplingParams) -> Generation:
        choice = answer["choices"][0]
        finish, stop = self._finish(choice, sampling)
        ids = self._ids(choice, finish)
        details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
        return Generation(
            token_ids=ids,
            logprobs=_logprobs(choice, len(ids)),
            finish=finish,
            stop=stop,
            cached_tokens=int(details.get("cached_tokens") or 0),
        )

    def _finish(
        self, choice: dict[str, Any], sampling: SamplingParams
    ) -> tuple[Literal["stop", "eos", "length"], str | None]:
        """Why the server stopped; without vLLM's `stop_reason`, the text tells."""
        if choice.get("finish_reason") == "length":
            return "length", None
        reason = choice.get("stop_reason")
        if isinstance(reason, str):
            return "stop", reason
        tail = str(choice["text"])[-64:]
        found = next((stop for stop in sampling.stop if reason is None and stop in tail), None)
        if found is None or self._ends_with_eos(choice):
            return "eos", None
        return "stop", found

    def _ends_with_eos(self, choice: dict[str, Any]) -> bool:
        ids: list[int] = choice.get("token_ids") or []
        return ids[-1:] == [self._codec.eos_id]

    def _ids(self, choice: dict[str, Any], finish: str) -> list[int]:
        if choice.get("token_ids"):
            return [int(token) for token in choice["token_ids"]]
        self.exact_ids = False
        ids = self._codec.encode(str(choice["text"]))
        if finish == "eos" and (not ids or ids[-1] != self._codec.eos_id):
            ids.append(self._codec.eos_id)
        return ids


def _logprobs(choice: dict[str, Any], tokens: int) -> list[float]:
    """The server's log-prob of each token; NaN where it gave none."""
    given = (choice.get("logprobs") or {}).get("token_logprobs") or []
    values = [float("nan") if value is None else float(value) for value in given]
    return values if len(values) == tokens else [float("nan")] * tokens
