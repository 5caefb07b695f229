# ruff: noqa: T201
"""How fast the evaluation's client is against a server that answers at once.

Run by hand in the engine environment: ``python -m tests.benchmarks.evaluation_client [QUESTIONS] [CONCURRENCY]``.
The server runs in a process of its own. Prints samples a second, and the client's own CPU time per sample, which does
not depend on what else the machine does.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from appo_core.config import EvaluateSettings
from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.progress import Progress
from appo_core.evaluation.runner import EvaluationRunner
from appo_core.jobs.contract import Reporter
from appo_core.rollout.codec import Codec
from appo_core.rollout.engines.http_engine import HttpEngine

RESPONSE = "<think> seventeen and four make twenty-one </think> <answer> \\[ \\boxed{21} \\] </answer>"


class Quiet(Reporter):
    """A reporter that says nothing."""

    @staticmethod
    def _emit(event: object) -> None:
        return


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """The head of the next request; empty once the client has gone."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def answer_at_once() -> None:
    """Serve one recorded completion on a free port; print the port."""
    import json

    ids = [ord(char) % 200 for char in RESPONSE]
    choice = {"text": RESPONSE, "token_ids": [*ids, 257], "finish_reason": "stop", "stop_reason": None}
    body = json.dumps({"choices": [choice], "usage": {}}).encode()
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await read_head(reader):
            lines = head.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(length)
            writer.write(reply)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(port: int, folder: Path, questions: int, concurrency: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds of two samples for each of `questions`."""
    codec = Codec.load(folder)
    engine = HttpEngine(f"http://127.0.0.1:{port}/v1", "demo", codec=codec, concurrency=concurrency)
    settings = EvaluateSettings(samples=2, concurrency=concurrency)
    runner = EvaluationRunner(
        settings=settings, engine=engine, tools={}, codec=codec, folder=folder / "samples", model="demo",
        progress=Progress(Quiet()),
    )  # fmt: skip
    rows = [Question("gsm8k", str(i), f"What are 17 and {i}, and why?", ("21",), "math") for i in range(questions)]
    wall, cpu = time.perf_counter(), time.process_time()
    await runner.run({"gsm8k": rows})
    await engine.close()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Start the server, measure, print."""
    from tests.appo_core.evaluation.scripted_server import build_tokenizer

    questions, concurrency = (int(value) for value in (*sys.argv[1:], *("1000", "50")[len(sys.argv) - 1 :]))
    command = [sys.executable, "-c", f"import asyncio, {__spec__.name} as b; asyncio.run(b.answer_at_once())"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            build_tokenizer(Path(folder))
            wall, cpu = asyncio.run(measure(int(server.stdout.readline()), Path(folder), questions, concurrency))
    finally:
        server.kill()
        server.wait()
    samples = 2 * questions
    print("| samples | samples/s | client CPU ms/sample |\n| ---: | ---: | ---: |")
    print(f"| {samples} | {samples / wall:.0f} | {1000 * cpu / samples:.2f} |")


if __name__ == "__main__":
    main()
