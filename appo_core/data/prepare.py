"""From raw rows to datasets: repair, drop what must not be trained on, and account for every row. Pure functions."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from appo_core.config import DataSettings
from appo_core.data import benchmarks as benchmark_files
from appo_core.data.contamination import benchmark_index, contaminated
from appo_core.data.conversations import conversation_error, question_of
from appo_core.data.duplicates import first_copies
from appo_core.data.readers import Row
from appo_core.data.repair import repaired
from appo_core.data.schema import rl_id
from appo_core.data.sources import RawData
from appo_core.data.text import control_characters, listed
from appo_core.jobs.contract import JobError


@dataclass(frozen=True)
class Account:
    """What became of the rows of one dataset: ids, with the reason where there is one."""

    kept: int = 0
    repaired: tuple[str, ...] = ()
    blank_gold: tuple[str, ...] = ()
    duplicates: Mapping[str, str] = field(default_factory=dict)
    """Dropped id -> id of the row that was kept."""
    benchmark_items: Mapping[str, str] = field(default_factory=dict)
    """Dropped id -> benchmark."""

    def report(self) -> dict[str, Any]:
        """The account as plain JSON values, for `report.json`."""
        return {
            "kept": self.kept,
            "repaired": list(self.repaired),
            "dropped": {
                "blank_gold": list(self.blank_gold),
                "duplicates": dict(self.duplicates),
                "benchmark_items": dict(self.benchmark_items),
            },
        }

    def metrics(self, prefix: str) -> dict[str, Any]:
        """Counts for the stage's summary."""
        return {
            f"{prefix}_rows": self.kept,
            f"{prefix}_repaired": len(self.repaired),
            f"{prefix}_dropped_blank_gold": len(self.blank_gold),
            f"{prefix}_dropped_duplicates": len(self.duplicates),
            f"{prefix}_dropped_benchmark_items": dict(sorted(Counter(self.benchmark_items.values()).items())),
        }


@dataclass(frozen=True)
class Prepared:
    """Datasets ready to be written, with the accounts of their rows."""

    data: RawData
    rl: Account
    sft: Account


def prepare(raw: RawData, settings: DataSettings) -> Prepared:
    """Repair, validate and decontaminate; raises `JobError` for rows that cannot be used and are not to be dropped."""
    sft, sft_repaired = _repair(raw.sft, _sft_id, on=settings.repair)
    train, train_repaired = _repair(raw.rl_train, rl_id, on=settings.repair)
    valid, valid_repaired = _repair(raw.rl_valid, rl_id, on=settings.repair)
    benchmarks = repaired(dict(raw.benchmarks)) if settings.repair else raw.benchmarks
    _require_clean(sft, train, valid)
    index = {} if settings.decontaminate == "off" else benchmark_index(benchmark_files.questions(benchmarks))
    rl_account = replace(_rl_account(train, valid, index), repaired=(*train_repaired, *valid_repaired))
    sft_hits = contaminated(((_sft_id(row), question_of(row)) for row in sft), index)
    if settings.decontaminate == "fail":
        _refuse({**rl_account.benchmark_items, **sft_hits})
    dropped = {*rl_account.blank_gold, *rl_account.duplicates, *rl_account.benchmark_items}
    data = replace(
        raw,
        sft=[row for row in sft if _sft_id(row) not in sft_hits],
        rl_train=[row for row in train if rl_id(row) not in dropped],
        rl_valid=[row for row in valid if rl_id(row) not in dropped],
        benchmarks=benchmarks,
    )
    _require_rows(raw, data)
    return Prepared(
        data,
        rl=replace(rl_account, kept=len(data.rl_train) + len(data.rl_valid)),
        sft=Account(kept=len(data.sft), repaired=sft_repaired, benchmark_items=sft_hits),
    )


def _sft_id(row: Row) -> str:
    return str(row["id"])


def _question(row: Row) -> str:
    return str(row["extra_info"]["question"])


def _repair(rows: Sequence[Row], name: Callable[[Row], str], *, on: bool) -> tuple[list[Row], tuple[str, ...]]:
    if not on:
        return list(rows), ()
    after = [repaired(row) for row in rows]
    return after, tuple(name(new) for old, new in zip(rows, after, strict=True) if old != new)


def _rl_account(train: Sequence[Row], valid: Sequence[Row], index: Mapping[str, str]) -> Account:
    """Validation rows come first, so that a training row which repeats one is the copy."""
    rows = [*valid, *train]
    blank = tuple(rl_id(row) for row in rows if not row["reward_model"]["ground_truth"].strip())
    return Account(
        blank_gold=blank,
        duplicates=first_copies((rl_id(row), _question(row)) for row in rows if rl_id(row) not in blank),
        benchmark_items=contaminated(((rl_id(row), _question(row)) for row in rows), index),
    )


def _require_clean(sft: Sequence[Row], train: Sequence[Row], valid: Sequence[Row]) -> None:
    for row in sft:
        fault = conversation_error(row)
        if fault:
            raise JobError(f"conversation {_sft_id(row)}: {fault}", remedy="correct or remove this row")
    dirty = [_sft_id(row) for row in sft if control_characters(_text(row))]
    dirty += [rl_id(row) for row in (*train, *valid) if control_characters(_text(row))]
    if dirty:
        remedy = "set data.repair to true, or remove the characters from these rows"
        raise JobError(f"control characters in {len(dirty)} rows: {listed(dirty)}", remedy=remedy)


def _text(value: Any) -> str:
    """Every text in a JSON value, one after the other."""
    match value:
        case str():
            return value
        case list():
            return "".join(_text(item) for item in value)
        case dict():
            return "".join(_text(item) for item in value.values())
        case _:
            return ""


def _refuse(hits: Mapping[str, str]) -> None:
    if hits:
        named = listed([f"{name} ({benchmark})" for name, benchmark in hits.items()])
        raise JobError(f"{len(hits)} rows are benchmark items: {named}", remedy="set data.decontaminate to drop")


def _require_rows(raw: RawData, data: RawData) -> None:
    for name in ("rl_train", "rl_valid", "sft"):
        if getattr(raw, name) and not getattr(data, name):
            raise JobError(
                f"{name}: no row is left after dropping benchmark items, duplicates and blank answers",
                remedy="give more rows",
            )
