"""Flow: algorithms and ablations side by side, every variant with several seeds, at equal generated tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field

from appo_core.artifacts import Store
from appo_core.config import ComparisonSettings, PipelineSettings
from appo_core.config.compare import CellRecord
from appo_core.config.model import TinyModel
from appo_core.experiments.variants import Cell, cells, point_rules
from appo_core.jobs.contract import Event, JobError
from flows.base_model import base_model_flow
from flows.common import ENDED, StoreUrl, finish, open_store, request
from flows.data import data_flow
from flows.defaults import DEMO
from flows.dispatch import Execution, run_flow
from flows.rl import rl_flow
from flows.sft import sft_flow
from flows.summary import StageTime
from tasks.cancel import CANCELLED, forget_stop, stop_all
from tasks.cards import slug
from tasks.compare import STAGE, compare
from tasks.errors import StageError
from tasks.progress import Progress, announce
from tasks.stage import StageResult


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompareResult(_Record):
    """What a comparison has to show."""

    store: str
    ref: str
    """The published comparison: report, pictures, figures."""
    variants: tuple[dict[str, str], ...]
    """The table: one row per variant."""
    stages: tuple[StageTime, ...]


@flow(name="compare", flow_run_name="compare {settings.name}", on_failure=ENDED, on_cancellation=ENDED)
def compare_flow(
    settings: Annotated[
        PipelineSettings, Field(description="Settings of the chain; `compare` names the variants")
    ] = DEMO,
    store: StoreUrl = None,
    execution: Execution | None = None,
) -> CompareResult:
    """RL runs of several variants and seeds from one SFT model: learning curves, a table with intervals, placement.

    Every run is an ordinary RL stage called <name>-<variant>-s<seed>: what is published is reused, so an interrupted
    comparison goes on where it was. A run that fails is left out of the report, and fails the flow at its end.

    Args:
        settings: Settings of the chain up to RL, and of the comparison.
        store: Artifact store.
        execution: Run stages in this flow's process or as deployments; `settings.execution` by default.
    """
    settings = settings.model_copy(update={"execution": execution or settings.execution})
    place, wanted = open_store(store), _cells(settings)
    start = _cold_start(settings, place)
    finished, failed = _run_cells(settings, place, wanted, start)
    if not finished:
        raise StageError(f"compare: no run succeeded; the first fault: {next(iter(failed.values()))}")
    result = _compare(settings, place, wanted, finished, failed)
    if failed:
        raise StageError(
            f"compare: {len(failed)} of {len(wanted)} runs failed ({', '.join(failed)}); the others are compared in "
            f"{result.ref('comparison')}",
            remedy="run again to run only these",
        )
    return CompareResult(
        store=place.url,
        ref=result.ref("comparison"),
        variants=_table(place, result),
        stages=(*(StageTime.of(title, one) for title, one in finished.items()), StageTime.of("compare", result)),
    )


def _cells(settings: PipelineSettings) -> list[Cell]:
    try:
        return cells(settings)
    except JobError as error:
        raise StageError.of(error) from None


def _cold_start(settings: PipelineSettings, store: Store) -> dict[str, str]:
    """What every run starts from: SFT model, prompts and corpus; reused when published."""

    def run(stage: Any, **parameters: Any) -> StageResult:
        return run_flow(settings.execution, stage, store, name=settings.name, **parameters)

    data = run(data_flow, settings=settings.data)
    rows, corpus = data.ref("sft"), {"corpus": data.ref("corpus")} if "corpus" in data.outputs else {}
    texts = {"data": rows, **corpus} if isinstance(settings.base_model, TinyModel) else {}
    base = run(base_model_flow, settings=settings.base_model, **texts)
    sft = run(sft_flow, settings=settings.sft, model=base.ref("model"), data=rows)
    return {"model": sft.ref("model"), "data": data.ref("rl"), **corpus}


@task(name="cell", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_cell(execution: Execution, store: Store, name: str, cell: Cell, start: dict[str, str]) -> StageResult:
    """One RL run; raises `StageError`."""
    return run_flow(execution, rl_flow, store, name=name, settings=cell.rl, **start)


def _run_cells(
    settings: PipelineSettings, store: Store, wanted: list[Cell], start: dict[str, str]
) -> tuple[dict[str, StageResult], dict[str, Exception]]:
    """Results by cell, and the faults of those that have none; `compare.parallel` cells at a time."""
    finished: dict[str, StageResult] = {}
    failed: dict[str, Exception] = {}
    board = _Board(settings.name, wanted)
    runner: ThreadPoolTaskRunner[StageResult] = ThreadPoolTaskRunner(max_workers=settings.compare.parallel)
    with runner as pool, _all_ended():
        futures: dict[PrefectFuture[StageResult], Cell] = {}
        for cell in wanted:
            parameters = {
                "execution": settings.execution,
                "store": store,
                "name": f"{settings.name}-{cell.key}",
                "cell": cell,
                "start": start,
            }
            futures[pool.submit(run_cell, parameters)] = cell
        for future in as_completed(list(futures)):
            cell = futures[future]
            try:
                finished[cell.key] = future.result()
            except StageError as error:
                if error.message == CANCELLED:
                    raise
                failed[cell.key] = error
                get_run_logger().error("%s: %s", cell.key, error)
                announce(f"compare {settings.name}", f"{cell.key} failed: {error}")
            board.show(finished, failed)
    board.close()
    order = [cell.key for cell in wanted]
    return {key: finished[key] for key in order if key in finished}, failed


@contextmanager
def _all_ended() -> Iterator[None]:
    """If the block ends early, the runs in its threads end too, and those that wait do not start."""
    forget_stop()
    try:
        yield
    except BaseException:
        stop_all()
        raise


class _Board:
    """How many cells are done, and how each went."""

    def __init__(self, name: str, wanted: list[Cell]) -> None:
        self._wanted, self._key = wanted, slug(f"compare-{name}-cells")
        self._progress = Progress(f"compare {name}", slug(f"progress-compare-{name}"), get_run_logger())

    def show(self, finished: dict[str, StageResult], failed: dict[str, Exception]) -> None:
        """Write the table of cells and the count."""
        done = len(finished) + len(failed)
        event = Event(
            event="progress", current=done, total=len(self._wanted), unit="runs", metrics={"failed": len(failed)}
        )
        self._progress(event)
        rows = [_cell_row(cell, finished.get(cell.key), failed.get(cell.key)) for cell in self._wanted]
        create_table_artifact(rows, key=self._key, description=f"{done} of {len(self._wanted)} runs are done")

    def close(self) -> None:
        """Write what was held back."""
        self._progress.close()


def _cell_row(cell: Cell, result: StageResult | None, fault: Exception | None) -> dict[str, Any]:
    metrics = result.metrics if result else {}
    return {
        "variant": cell.variant,
        "seed": cell.seed,
        "status": result.status if result else f"failed: {fault}" if fault else "waiting or running",
        "validation/correct": metrics.get("validation/correct"),
        "generated tokens": metrics.get("generated_tokens"),
        "seconds": result.seconds if result else None,
    }


def _compare(
    settings: PipelineSettings,
    store: Store,
    cells: list[Cell],
    finished: dict[str, StageResult],
    failed: dict[str, Exception],
) -> StageResult:
    """The compare stage over all finished cells."""
    wanted = settings.compare
    records = {cell.key: CellRecord(variant=cell.variant, seed=cell.seed) for cell in cells}
    job = ComparisonSettings(
        variants=wanted.chosen,
        cells=tuple(records[key] for key in finished),
        failed=tuple(records[key] for key in failed),
        metric=wanted.metric,
        generated_tokens=wanted.generated_tokens,
        point_rules=point_rules(cells),
    )
    inputs = {
        f"{key}.{role}": result.ref(role) for key, result in finished.items() for role in ("checkpoint", "rollouts")
    }
    return finish(store, STAGE, compare, request(STAGE, store, settings.name, job.model_dump(mode="json"), inputs))


def _table(store: Store, result: StageResult) -> tuple[dict[str, str], ...]:
    """The main table of a published comparison; also a table of this run."""
    import json

    content = json.loads(store.read_file(store.find(result.ref("comparison")), "figures.json"))
    rows: list[dict[str, str]] = content["table"]
    create_table_artifact(
        rows, key=slug(f"compare-{result.ref('comparison').partition('@')[0]}"), description="Variants"
    )
    return tuple(rows)
