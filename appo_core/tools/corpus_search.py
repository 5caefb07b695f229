"""Search over a local corpus: BM25, deterministic, no network."""

import json
import re
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from appo_core.config import SearchToolSettings
from appo_core.jobs.contract import JobError
from appo_core.tools.base import ToolOutcome
from appo_core.tools.search_results import format_results

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
    ]
)


def search_terms(text: str) -> list[str]:
    """Lower-case words without stop words; Chinese, Japanese and Korean by character."""
    words = _WORD.findall(text.lower())
    return [word for word in words if word not in _STOP_WORDS] or words


class CorpusSearch:
    """The search tool over `corpus.jsonl` (`id`, `title`, `text` per line)."""

    name = "search"

    def __init__(self, corpus: Path, settings: SearchToolSettings) -> None:
        """Reads and indexes `corpus/corpus.jsonl`. Raises `JobError`."""
        documents = _read(corpus / "corpus.jsonl")
        self._settings = settings
        self._texts = [document["text"] for document in documents]
        self._index = bm25s.BM25(backend="numpy")
        terms = [search_terms(f"{document.get('title', '')} {document['text']}") or [""] for document in documents]
        self._index.index(terms, show_progress=False)

    def search(self, query: str) -> str:
        """The best documents for a query as result text; ties go to the earlier document."""
        terms = [term for term in search_terms(query) if term in self._index.vocab_dict]
        scores = self._index.get_scores(terms) if terms else np.zeros(len(self._texts))
        best = np.argsort(-scores, kind="stable")[: 2 * self._settings.max_results]
        snippets = (self._texts[at] for at in best if scores[at] > 0)
        return format_results(snippets, self._settings.max_results, self._settings.max_result_chars)

    async def call(self, argument: str) -> ToolOutcome:
        """Search for the text between the tags."""
        return ToolOutcome(self.search(argument))

    async def close(self) -> None:
        """Nothing is held."""


def _read(path: Path) -> list[dict[str, Any]]:
    """Documents of a corpus file; every line needs a `text`."""
    if not path.exists():
        raise JobError(
            f"{path} does not exist", remedy="give the data stage a corpus, or choose another search backend"
        )
    documents = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                document = json.loads(line)
                if not isinstance(document["text"], str):
                    raise TypeError("text is no string")
            except (ValueError, KeyError, TypeError) as error:
                raise JobError(f"{path.name} line {number}: no document ({error})", remedy="mend the line") from error
            documents.append(document)
    if not documents:
        raise JobError(f"{path.name} is empty", remedy="give the data stage a corpus with documents")
    return documents
