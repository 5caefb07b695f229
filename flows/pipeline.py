"""Flow: the whole chain, from rows to a comparison of the SFT and the RL model."""

from typing import Annotated, Any

from prefect import Flow, flow
from pydantic import Field

from appo_core.artifacts import Store
from appo_core.config import PipelineSettings
from appo_core.config.merge import CheckpointFolder
from appo_core.config.model import TinyModel
from flows.base_model import base_model_flow
from flows.common import ENDED, StoreUrl, open_store
from flows.data import data_flow
from flows.defaults import DEMO
from flows.dispatch import Execution, run_flow
from flows.evaluate import evaluate_flow
from flows.merge import merge_flow
from flows.rl import rl_flow
from flows.sft import sft_flow
from flows.summary import PipelineResult, StageTime, show_comparison, show_times
from tasks.errors import StageError
from tasks.stage import StageResult

SFT_SUFFIX = "-sft"


@flow(name="pipeline", flow_run_name="pipeline {settings.name}", on_failure=ENDED, on_cancellation=ENDED)
def pipeline_flow(
    settings: Annotated[PipelineSettings, Field(description="Settings of every stage")] = DEMO,
    store: StoreUrl = None,
    execution: Execution | None = None,
) -> PipelineResult:
    """Cold-start SFT, APPO RL, merge, vLLM serving and pass@k of the SFT and the RL model side by side.

    A stage whose result is published already is reused. Run again after an interruption: finished stages are reused,
    the interrupted one resumes.

    Args:
        settings: Settings of every stage.
        store: Artifact store.
        execution: Run stages in this flow's process or as deployments; `settings.execution` by default.
    """
    if execution:
        settings = settings.model_copy(update={"execution": execution})
    if isinstance(settings.merge.source, CheckpointFolder):
        message = "merge.source.path is of no use here: the chain merges the checkpoint that it trains"
        raise StageError(message, remedy="appo run merge", bad_input=True)
    chain = _Chain(settings, open_store(store))
    data = chain.run("data", data_flow, settings=settings.data)
    texts = _some(data, data="sft", corpus="corpus") if isinstance(settings.base_model, TinyModel) else {}
    base = chain.run("base model", base_model_flow, settings=settings.base_model, **texts)
    conversations = _some(data, data="sft")
    sft = chain.run("sft", sft_flow, settings=settings.sft, model=base.ref("model"), **conversations)
    before = chain.evaluate("evaluate SFT", SFT_SUFFIX, sft.ref("model"), data)
    search = _some(data, corpus="corpus")
    rl = chain.run("rl", rl_flow, settings=settings.rl, model=sft.ref("model"), data=data.ref("rl"), **search)
    merged = chain.run(
        "merge", merge_flow, settings=settings.merge, checkpoint=rl.ref("checkpoint"), reference=sft.ref("model")
    )
    after = chain.evaluate("evaluate RL", "", merged.ref("model"), data)
    comparison = show_comparison(chain.store, settings.name, before.ref("report"), after.ref("report"))
    show_times(settings.name, chain.times)
    return PipelineResult(
        store=chain.store.url,
        model=merged.ref("model"),
        reports=(before.ref("report"), after.ref("report")),
        stages=tuple(chain.times),
        comparison=comparison,
    )


class _Chain:
    """The stages of one chain, run one after the other, and how long each took."""

    def __init__(self, settings: PipelineSettings, store: Store) -> None:
        self._settings, self.store = settings, store
        self.times: list[StageTime] = []

    def run(
        self, title: str, stage: Flow[Any, StageResult], *, name: str | None = None, **parameters: Any
    ) -> StageResult:
        """One stage's result; raises `StageError`."""
        result = run_flow(self._settings.execution, stage, self.store, name=name or self._settings.name, **parameters)
        if result.serve_seconds is not None or title.startswith("evaluate"):
            self.times.append(StageTime.of_server(title.replace("evaluate", "serve"), result))
        self.times.append(StageTime.of(title, result))
        return result

    def evaluate(self, title: str, suffix: str, model: str, data: StageResult) -> StageResult:
        """The report on one model, served for it."""
        return self.run(
            title,
            evaluate_flow,
            name=f"{self._settings.name}{suffix}",
            settings=self._settings.evaluate,
            serve=self._settings.serve,
            model=model,
            execution=self._settings.execution,
            **_some(data, benchmarks="benchmarks", corpus="corpus"),
        )


def _some(result: StageResult, **roles: str) -> dict[str, str]:
    """Those of a result's outputs that are there, by parameter name."""
    return {name: result.outputs[role] for name, role in roles.items() if role in result.outputs}
