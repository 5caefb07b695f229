"""An optional judge: a language model that looks at answers which the rules call wrong.

It is asked for one JSON verdict. Whatever it says otherwise is no verdict: the rules' verdict stands and the report
counts the case. Verdicts are kept on disk, so that no answer is judged twice.
"""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from appo_core.config import JudgeSettings
from appo_core.evaluation.benchmarks import Question
from appo_core.evaluation.report import JudgeRecord
from appo_core.evaluation.samples import Sample
from appo_core.evaluation.server import served_models

ATTEMPTS, BACKOFF_S, IN_FLIGHT = 3, 1.0, 16
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_OBJECT = re.compile(r"\{[^{}]*\}")
_TASK = (
    "Decide whether a given answer to a question agrees with the reference. It agrees when it means the same and has "
    "all key information; wording, units written differently and formatting do not matter. With several references, "
    "agreeing with one is enough. Judge only the agreement, do not answer the question yourself. "
    'Reply with one JSON object and nothing else: {"correct": true} or {"correct": false}.'
)


class Judge:
    """Judges samples through an OpenAI-compatible chat endpoint."""

    def __init__(self, settings: JudgeSettings, cache: Path) -> None:
        self._settings, self._cache = settings, cache
        key = os.environ.get(settings.key_env, "EMPTY")
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.AsyncClient(base_url=settings.base_url, headers=headers, timeout=settings.timeout_s)
        self._known = _read_cache(cache)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.identity = ""
        self._judged = self._turned_right = self._no_verdict = 0

    async def identify(self) -> None:
        """Check that the endpoint serves the judge; raises `JobError`."""
        served = await served_models(self._client, self._settings.model, what="judge")
        self.identity = str(served.get("root") or served["id"])

    @property
    def record(self) -> JudgeRecord:
        """Who judged, and how often so far."""
        return JudgeRecord(
            model=self._settings.model,
            identity=self.identity,
            judged=self._judged,
            turned_right=self._turned_right,
            no_verdict=self._no_verdict,
        )

    async def review(self, questions: Sequence[Question], samples: Sequence[Sample]) -> list[Sample]:
        """`samples` with the judge's verdict where the rules found no agreement."""
        by_id = {question.id: question for question in questions}
        return await asyncio.gather(*(self._review(by_id[sample.id], sample) for sample in samples))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _review(self, question: Question, sample: Sample) -> Sample:
        if sample.correct or not sample.prediction.strip():
            return sample
        verdict = await self._verdict(question, sample.prediction)
        self._judged += 1
        self._no_verdict += verdict is None
        self._turned_right += bool(verdict)
        return sample.model_copy(update={"correct": True, "method": "judge"}) if verdict else sample

    async def _verdict(self, question: Question, prediction: str) -> bool | None:
        message = _message(question, prediction)
        key = sha256(f"{self.identity}\n{message}".encode()).hexdigest()
        async with self._slots:
            if key not in self._known and (verdict := await self._ask(message)) is not None:
                self._known[key] = verdict
                with self._cache.open("a") as file:
                    file.write(json.dumps({"key": key, "correct": verdict}) + "\n")
        return self._known.get(key)

    async def _ask(self, message: str) -> bool | None:
        body = {
            "model": self._settings.model,
            "messages": [{"role": "system", "content": _TASK}, {"role": "user", "content": message}],
            "temperature": 0,
            "seed": 0,
        }
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))
            try:
                reply = await self._client.post("chat/completions", json=body)
                reply.raise_for_status()
                verdict = parse_verdict(reply.json()["choices"][0]["message"]["content"])
            except (httpx.HTTPError, ValueError, LookupError, TypeError):
                continue
            if verdict is not None:
                return verdict
        return None


def parse_verdict(reply: str) -> bool | None:
    """The `correct` of the one JSON object outside any thinking; None unless it is exactly true or false."""
    found = _OBJECT.findall(_THINKING.sub("", reply))
    if len(found) != 1:
        return None
    try:
        value: Any = json.loads(found[0]).get("correct")
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, bool) else None


def _message(question: Question, prediction: str) -> str:
    value = {"question": question.text, "references": list(question.golds), "answer": prediction}
    return json.dumps(value, ensure_ascii=False)


def _read_cache(path: Path) -> dict[str, bool]:
    """Verdicts of earlier runs; a line that was cut off is passed over."""
    known: dict[str, bool] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
            known[entry["key"]] = bool(entry["correct"])
        except (json.JSONDecodeError, LookupError, TypeError):
            continue
    return known
