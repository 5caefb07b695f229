"""The text of search results, the same for every back end, and recorded results."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

from appo_core.jobs.contract import JobError

NO_RESULTS = "No search results found."


def format_results(snippets: Iterable[str], max_results: int, max_chars: int) -> str:
    """`Page i: <snippet>` lines: empty and repeated snippets dropped, order kept, each cut to `max_chars`."""
    unique = list(dict.fromkeys(" ".join(snippet.split()) for snippet in snippets if snippet.strip()))
    lines = [f"Page {at}: {snippet[:max_chars]}" for at, snippet in enumerate(unique[:max_results], 1)]
    return "\n".join(lines) or NO_RESULTS


def cache_key(query: str) -> str:
    """The query without double quotes; otherwise compared exactly, case included."""
    return query.replace('"', "")


def load_recorded(folder: Path) -> dict[str, str]:
    """Recorded results of a corpus folder (`search_cache.json` or `.json.gz`), empty without one. Raises `JobError`."""
    for name in ("search_cache.json", "search_cache.json.gz"):
        path = folder / name
        if path.exists():
            return _load(path)
    return {}


def _load(path: Path) -> dict[str, str]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        recorded = json.loads(raw)
    except (OSError, ValueError, EOFError) as error:
        raise JobError(f"{path.name} cannot be read ({error})", remedy="publish the corpus again") from error
    if not isinstance(recorded, dict) or not all(isinstance(text, str) for text in recorded.values()):
        raise JobError(f"{path.name} is not a JSON object of query -> result text", remedy="publish the corpus again")
    return recorded
