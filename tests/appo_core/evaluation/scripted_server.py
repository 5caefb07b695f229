"""A byte-level tokenizer with a chat template, and a scripted OpenAI-compatible server."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Answer = Callable[[str], str | list[str]]
"""Question text -> what the model writes: one text, or one per turn when it calls tools."""


def build_tokenizer(folder: Path) -> None:
    """Save a tokenizer whose ids are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHAT_TEMPLATE
    ).save_pretrained(str(folder))


@dataclass
class ScriptedServer:
    """Answers `/v1/models` and `/v1/completions` (prompts as token ids) from a script."""

    tokenizer: Any
    answer: Answer
    model: str = "demo@v1"
    max_model_len: int = 65536
    delay_s: float = 0.0
    base_url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    judge: Callable[[dict[str, Any]], str] | None = None

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(body)
        prompt = self.tokenizer.decode(body["prompt"])
        question = prompt.rsplit("<|im_start|>user\n", 1)[1].split("<|im_end|>\n<|im_start|>assistant", 1)[0]
        written = prompt.rsplit("<|im_start|>assistant\n", 1)[1]
        turns = self.answer(question)
        text = turns if isinstance(turns, str) else turns[written.count("</result>")]
        ids = self.tokenizer.encode(text)
        stop = next((stop for stop in body.get("stop", ()) if text.endswith(stop)), None)
        ids += [] if stop else [self.tokenizer.eos_token_id]
        choice = {"text": text, "token_ids": ids, "finish_reason": "stop", "stop_reason": stop}
        return {"choices": [choice], "usage": {}}

    async def _models(self, request: Any) -> Any:
        from aiohttp import web

        card = {"id": self.model, "root": f"/models/{self.model}", "max_model_len": self.max_model_len}
        return web.json_response({"data": [card]})

    async def _completions(self, request: Any) -> Any:
        from aiohttp import web

        body = await request.json()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return web.json_response(self.completion(body))

    async def _chat(self, request: Any) -> Any:
        from aiohttp import web

        assert self.judge is not None
        body = await request.json()
        return web.json_response({"choices": [{"message": {"content": self.judge(body)}}]})

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        """Serve from a thread of its own, on a free port."""
        from aiohttp import web

        loop, ready = asyncio.new_event_loop(), threading.Event()

        async def start() -> web.AppRunner:
            app = web.Application(client_max_size=2**26)
            app.router.add_get("/v1/models", self._models)
            app.router.add_post("/v1/completions", self._completions)
            app.router.add_post("/v1/chat/completions", self._chat)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            return runner

        def serve() -> None:
            asyncio.set_event_loop(loop)
            runner = loop.run_until_complete(start())
            ready.set()
            loop.run_forever()
            loop.run_until_complete(runner.cleanup())
            loop.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ready.wait(30)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
