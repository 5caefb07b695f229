"""The HTTP engine against vLLM's own server, and against servers that fail."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM

from appo_core.processes import Process, clean_environment
from appo_core.rollout import Codec
from appo_core.rollout.engines import EngineError, SamplingParams
from appo_core.rollout.engines.http_engine import HttpEngine
from tests.appo_core.rollout.tiny import build_model, build_tokenizer

PROMPT = [5 + index % 90 for index in range(40)]
START_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    build_tokenizer(path)
    build_model(path)
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """Address of a vLLM server with the tiny model, served as `tiny`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    argv += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "256"]
    argv += ["--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", str(64 * 2**20)]
    extra = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    log = folder / "server.log"
    with Process.start(argv, env=clean_environment(extra | {"HF_HUB_OFFLINE": "1"}), log=log) as process:
        _wait(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"


def _wait(url: str, process: Process, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/health", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"server did not start: {log.read_text()[-2000:]}")


@pytest.mark.slow
async def test_exact_ids_and_logprobs_from_vllm(server: str, folder: Path) -> None:
    codec = Codec.load(folder)
    engine = HttpEngine(f"{server}/v1", "tiny", codec=codec)
    try:
        params = [SamplingParams(max_tokens=30, seed=seed) for seed in range(8)]
        generations = await asyncio.gather(*(engine.generate(PROMPT, each) for each in params))
        assert engine.exact_ids
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
        for generation in generations:
            assert _difference(model, generation.token_ids, generation.logprobs) < 1e-4
            assert (generation.token_ids[-1] == codec.eos_id) == (generation.finish == "eos")
        await _check_stop(engine, codec, generations[0].token_ids)
        with pytest.raises(EngineError, match="HTTP 400"):
            await engine.generate(PROMPT * 20, SamplingParams(max_tokens=4))
        with pytest.raises(EngineError, match="HTTP 404"):
            await HttpEngine(server, "other", codec=codec).generate(PROMPT, SamplingParams(max_tokens=4))
    finally:
        await engine.close()


async def _check_stop(engine: HttpEngine, codec: Codec, free: list[int]) -> None:
    stop = codec.decode([next(token for token in free[3:] if codec.decode([token]).isascii())])
    stopped = await engine.generate(PROMPT, SamplingParams(max_tokens=30, seed=0, stop=(stop,)))
    assert (stopped.finish, stopped.stop) == ("stop", stop)
    assert stopped.token_ids == free[: len(stopped.token_ids)]
    assert stop in codec.decode(stopped.token_ids)


@torch.no_grad()
def _difference(model: torch.nn.Module, ids: list[int], logprobs: list[float]) -> float:
    whole = torch.tensor([PROMPT + ids])
    expected = model(whole).logits.log_softmax(-1)[0, len(PROMPT) - 1 : -1]
    return float((expected.gather(1, whole[0, len(PROMPT) :, None])[:, 0] - torch.tensor(logprobs)).abs().max())


@asynccontextmanager
async def _answering(status: str, body: str) -> AsyncIterator[str]:
    """A server that gives every request the same answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        ("503 Unavailable", "starting", "HTTP 503: starting"),
        ("200 OK", "no json", "no completion"),
        ("200 OK", "{}", "no completion"),
    ],
)
async def test_bad_answers_are_engine_errors(folder: Path, status: str, body: str, message: str) -> None:
    async with _answering(status, body) as url:
        engine = HttpEngine(url, "tiny", codec=Codec.load(folder))
        with pytest.raises(EngineError, match=message):
            await engine.generate(PROMPT, SamplingParams(max_tokens=4))
        await engine.close()


async def test_unreachable_server_and_weights_are_engine_errors(folder: Path) -> None:
    engine = HttpEngine("http://127.0.0.1:9", "tiny", codec=Codec.load(folder))
    with pytest.raises(EngineError, match="ClientConnectorError"):
        await engine.generate(PROMPT, SamplingParams(max_tokens=4))
    with pytest.raises(EngineError, match="over HTTP"):
        await engine.update_weights([], 1)
    await engine.close()


async def test_server_without_ids_gets_its_text_encoded(folder: Path) -> None:
    codec = Codec.load(folder)
    answers = {
        '{"choices": [{"text": "a <search> b </search>", "finish_reason": "stop"}]}': "stop",
        '{"choices": [{"text": "the end", "finish_reason": "stop"}]}': "eos",
        '{"choices": [{"text": "cut", "finish_reason": "length"}]}': "length",
    }
    for body, finish in answers.items():
        async with _answering("200 OK", body) as url:
            engine = HttpEngine(url, "tiny", codec=codec)
            generation = await engine.generate(PROMPT, SamplingParams(max_tokens=99, stop=("</search>",)))
            await engine.close()
        assert generation.finish == finish
        assert not engine.exact_ids
        assert (generation.token_ids[-1] == codec.eos_id) == (finish == "eos")
        assert len(generation.logprobs) == len(generation.token_ids)
