"""Search that answers from recorded results alone."""

from pathlib import Path

from appo_core.jobs.contract import JobError
from appo_core.tools.base import ToolOutcome
from appo_core.tools.search_results import NO_RESULTS, cache_key, load_recorded


class RecordedSearch:
    """The search tool over a corpus folder's search cache; what was not recorded finds nothing."""

    name = "search"

    def __init__(self, corpus: Path) -> None:
        """Raises `JobError` when nothing was recorded."""
        self._recorded = load_recorded(corpus)
        if not self._recorded:
            raise JobError(
                f"{corpus} holds no search_cache.json", remedy="set data.source.search_cache, or another backend"
            )

    async def call(self, argument: str) -> ToolOutcome:
        """The recorded text of exactly this query."""
        return ToolOutcome(self._recorded.get(cache_key(argument), NO_RESULTS))

    async def close(self) -> None:
        """Nothing is held."""
