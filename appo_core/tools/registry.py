"""Builds the tools that the settings enable."""

import re
from pathlib import Path

from appo_core.config import SearchToolSettings, ToolSettings
from appo_core.jobs.contract import JobError
from appo_core.tools.base import Tool, ToolOutcome
from appo_core.tools.python_tool import PythonTool
from appo_core.tools.sandbox import SandboxUnavailableError

_RESULT_TAG = re.compile(r"<(/?result)>")


class RetryingTool:
    """A tool whose failed calls are tried again; outcomes, empty ones included, are final.

    It also makes sure that no output can end its own `<result>` block and pass off what follows as the model's words.
    """

    def __init__(self, tool: Tool, attempts: int) -> None:
        self._tool, self._attempts = tool, attempts

    @property
    def name(self) -> str:
        """The wrapped tool's tag."""
        return self._tool.name

    async def call(self, argument: str) -> ToolOutcome:
        """The first outcome that is no failure, or the last failure; seconds of all attempts."""
        seconds = 0.0
        for _ in range(self._attempts):
            outcome = await self._tool.call(argument)
            seconds += outcome.seconds
            if outcome.failure is None:
                break
        return ToolOutcome(_RESULT_TAG.sub(r"< \1>", outcome.text), outcome.failure, seconds)

    async def close(self) -> None:
        """Close the wrapped tool."""
        await self._tool.close()


def build_tools(settings: ToolSettings, corpus: Path | None) -> dict[str, Tool]:
    """Tools by name (`python`, `search`). Raises `JobError` for one that cannot work here.

    `corpus` is the folder of the `<name>-corpus` dataset, or None where there is none.
    """
    tools: list[Tool] = []
    if settings.search.enabled:
        tools.append(_search(settings.search, corpus))
    if settings.python.enabled:
        try:
            tools.append(PythonTool(settings.python))
        except SandboxUnavailableError as error:
            raise JobError(str(error), remedy="install bubblewrap, or set tools.python.enabled to false") from error
    return {tool.name: RetryingTool(tool, settings.attempts) for tool in tools}


def _search(settings: SearchToolSettings, corpus: Path | None) -> Tool:
    """The search tool of the chosen back end; each back end's libraries are loaded only with it."""
    if settings.backend == "bing":
        from appo_core.tools.bing_search import BingSearch
        from appo_core.tools.search_results import load_recorded

        return BingSearch(settings, load_recorded(corpus) if corpus else None)
    if corpus is None:
        raise JobError(f"search backend '{settings.backend}' needs a corpus", remedy="give the job a 'corpus' input")
    if settings.backend == "recorded":
        from appo_core.tools.recorded_search import RecordedSearch

        return RecordedSearch(corpus)
    from appo_core.tools.corpus_search import CorpusSearch

    return CorpusSearch(corpus, settings)
