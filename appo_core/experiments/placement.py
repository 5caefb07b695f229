"""Where branch points fell: their regions against those of all generated tokens."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appo_core.config.compare import PointRules
from appo_core.experiments.overlap import Overlap, overlap
from appo_core.experiments.regions import TokenText, regions
from appo_core.jobs.contract import JobError

DumpRow = Mapping[str, Any]


@dataclass
class Placement:
    """Counts over dumped steps of one or several runs."""

    points: Counter[str] = field(default_factory=Counter)
    """Region -> branch points: distinct tokens that branches left."""
    tokens: Counter[str] = field(default_factory=Counter)
    """Region -> generated tokens, those that a branch shares with its origin counted once."""
    overlap: Overlap = field(default_factory=Overlap)

    @classmethod
    def total(cls, parts: "Iterable[Placement]") -> "Placement":
        """Several runs' counts together."""
        whole = cls()
        for part in parts:
            whole.points += part.points
            whole.tokens += part.tokens
            whole.overlap += part.overlap
        return whole

    def share_of_points(self, region: str) -> float:
        """Share of the branch points that lie in a region; 0 without points."""
        return self.points[region] / (self.points.total() or 1)

    def share_of_tokens(self, region: str) -> float:
        """Share of the generated tokens that lie in a region."""
        return self.tokens[region] / (self.tokens.total() or 1)


def place(steps: Iterable[Iterable[DumpRow]], text_of: TokenText, rules: PointRules | None) -> Placement:
    """The placement over the steps of one run. `rules` says how points were chosen by a product of scores, if so."""
    found = Placement()
    for step in steps:
        rows = list(step)
        seen: dict[str, set[int]] = {}
        for row in rows:
            inside = regions(row["response_ids"], row["mask"], text_of)
            prefix = row.get("prefix")
            own = prefix["split"] + 1 if prefix else 0
            found.tokens.update(
                name for name, generated in zip(inside[own:], row["mask"][own:], strict=True) if generated
            )
            if prefix and prefix["split"] not in seen.setdefault(prefix["origin"], set()):
                seen[prefix["origin"]].add(prefix["split"])
                found.points[inside[prefix["split"]]] += 1
        if rules is not None:
            for row in rows:
                found.overlap += overlap(row, seen.get(row["uid"], set()), text_of, rules)
    return found


def read_dumps(folder: Path) -> Iterator[list[DumpRow]]:
    """The rows of each dumped step, in order; raises `JobError` for a file that cannot be read."""
    for path in sorted(folder.glob("step_*.jsonl")):
        try:
            yield [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise JobError(f"{path}: no readable rollouts ({error})", remedy="run this variant again") from None
