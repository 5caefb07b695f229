"""Live search: Bing through the Bright Data request API, recorded results first."""

import asyncio
import os
import re
import time
from typing import Any
from urllib.parse import urlencode

import httpx

from appo_core.config import BingSearchSettings, SearchToolSettings
from appo_core.jobs.contract import JobError
from appo_core.tools.base import ToolOutcome
from appo_core.tools.search_results import cache_key, format_results

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pause before the second attempt, doubled for each further one up to the longest."""

_HAN, _KANA = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]"), re.compile(r"[\u3040-\u30ff]")
_EXPLAINED = {
    "timeout": "the search engine did not answer in time",
    "unreachable": "the search engine cannot be reached",
    "rate_limited": "the search engine refused further requests for now",
    "refused": "the search engine refused the request",
    "server_error": "the search engine failed",
    "bad_reply": "the search engine sent an unreadable reply",
}


class _SearchError(Exception):
    """One attempt failed; `pause_s` is what the server asked for."""

    def __init__(self, cause: str, pause_s: float = 0.0) -> None:
        super().__init__(cause)
        self.cause, self.pause_s = cause, pause_s


class BingSearch:
    """The search tool over Bing; requests are spaced, timed out, retried with growing pauses, and kept."""

    name = "search"

    def __init__(self, settings: SearchToolSettings, recorded: dict[str, str] | None = None) -> None:
        """Raises `JobError` when the key is not in the environment."""
        key = os.environ.get(settings.bing.key_env, "")
        if not key:
            raise JobError(
                f"environment variable {settings.bing.key_env} is not set",
                remedy="export the Bright Data key, or choose tools.search.backend corpus or recorded",
            )
        self._settings, self._bing = settings, settings.bing
        self._known = dict(recorded or {})
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._client: httpx.AsyncClient | None = None
        self._next_slot = 0.0

    async def call(self, argument: str) -> ToolOutcome:
        """Results of a query, from the record where there is one."""
        key, started = cache_key(argument), time.monotonic()
        if key in self._known:
            return ToolOutcome(self._known[key])
        try:
            text = await self._attempts(argument)
        except _SearchError as error:
            return ToolOutcome(f"Search failed: {_EXPLAINED[error.cause]}.", error.cause, time.monotonic() - started)
        self._known[key] = text
        return ToolOutcome(text, seconds=time.monotonic() - started)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _attempts(self, query: str) -> str:
        for attempt in range(1, self._bing.attempts + 1):
            try:
                return await self._attempt(query)
            except _SearchError as error:
                if attempt == self._bing.attempts or error.cause == "refused":
                    raise
                await asyncio.sleep(min(LONGEST_PAUSE_S, max(error.pause_s, FIRST_PAUSE_S * 2 ** (attempt - 1))))
        raise _SearchError("unreachable")

    async def _attempt(self, query: str) -> str:
        """One request within the rate and the time-out, reading the reply included. Raises `_SearchError`."""
        await self._take_slot()
        self._client = self._client or httpx.AsyncClient(timeout=self._bing.timeout_s)
        try:
            async with asyncio.timeout(self._bing.timeout_s):
                reply = await self._client.post(
                    self._bing.endpoint, json=request_body(query, self._bing), headers=self._headers
                )
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _SearchError("timeout") from error
        except httpx.HTTPError as error:
            raise _SearchError("unreachable") from error
        _check_status(reply)
        return self._parse(reply)

    async def _take_slot(self) -> None:
        """Wait so that requests start at most `requests_per_second` apart."""
        slot = max(time.monotonic(), self._next_slot)
        self._next_slot = slot + 1 / self._bing.requests_per_second
        await asyncio.sleep(max(0.0, slot - time.monotonic()))

    def _parse(self, reply: httpx.Response) -> str:
        try:
            page = reply.json()
            organic = page.get("organic") or []
            snippets = [entry["description"] for entry in organic if isinstance(entry.get("description"), str)]
        except (ValueError, AttributeError, TypeError) as error:
            raise _SearchError("bad_reply") from error
        return format_results(snippets, self._settings.max_results, self._settings.max_result_chars)


def request_body(query: str, settings: BingSearchSettings) -> dict[str, Any]:
    """The JSON body of one request: zone, the Bing address with market and language, raw format."""
    chinese = bool(_HAN.search(query)) and not _KANA.search(query)
    market, language = ("zh-CN", "zh") if chinese else ("en-US", "en")
    address = urlencode({"q": query, "mkt": market, "setLang": language})
    url = f"https://www.bing.com/search?{address}&brd_json=1&cc={settings.country}"
    return {"zone": settings.zone, "url": url, "format": "raw"}


def _check_status(reply: httpx.Response) -> None:
    if reply.status_code == 429:
        pause = reply.headers.get("Retry-After", "")
        raise _SearchError("rate_limited", float(pause) if pause.isdecimal() else 0.0)
    if reply.status_code >= 500:
        raise _SearchError("server_error")
    if reply.status_code != 200:
        raise _SearchError("refused")
