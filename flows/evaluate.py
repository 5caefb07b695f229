"""Flow: a model served and evaluated."""

from prefect import flow

from appo_core.artifacts import StoreError
from appo_core.config import EvaluateSettings, ServeSettings
from flows.common import ENDED, Name, Ref, StoreUrl, existing, finish, open_store, report, request
from flows.defaults import DEMO
from flows.dispatch import Execution
from flows.serve import served_model
from tasks.errors import StageError
from tasks.evaluate import STAGE, evaluate
from tasks.run import reuse
from tasks.serve import deciding_settings
from tasks.stage import StageResult


@flow(name="evaluate", flow_run_name="evaluate {name}", on_failure=ENDED, on_cancellation=ENDED)
def evaluate_flow(
    name: Name = "demo",
    settings: EvaluateSettings = DEMO.evaluate,
    serve: ServeSettings = DEMO.serve,
    model: Ref = None,
    benchmarks: Ref = None,
    corpus: Ref = None,
    execution: Execution = "inline",
    store: StoreUrl = None,
) -> StageResult:
    """Serve a model, sample every question k times over HTTP, score; publish eval-report/<name>.

    The server is started only when there is something to evaluate, and stopped whatever happens.

    Args:
        name: Name of the report.
        settings: Benchmarks, samples, sampling, tools and limits.
        serve: The server's settings.
        model: Model to evaluate; model/<name>@latest by default.
        benchmarks: Questions; dataset/<name>-benchmarks@latest by default.
        corpus: Documents and recorded results of the search tool; dataset/<name>-corpus@latest if there is one.
        execution: Serve in this process's machine, or through the serve deployment on its work pool.
        store: Artifact store.
    """
    place = open_store(store)
    wanted_corpus = {"corpus": corpus} if corpus else existing(place, {"corpus": f"dataset/{name}-corpus@latest"})
    inputs = {
        "model": model or f"model/{name}@latest",
        "benchmarks": benchmarks or f"dataset/{name}-benchmarks@latest",
        **wanted_corpus,
    }
    wanted = request(
        STAGE, place, name, settings.model_dump(mode="json"), inputs, also={"serve": deciding_settings(serve)}
    )
    try:
        if found := reuse(STAGE, wanted, place):
            return report(place, found)
    except StoreError as error:
        raise StageError.of(error) from None
    with served_model(execution, place, name, wanted.inputs["model"], serve) as endpoint:
        context = endpoint.model_dump(include={"base_url", "served_model", "model_ref"})
        result = finish(place, STAGE, evaluate, wanted.model_copy(update={"context": context}))
    return report(place, result.model_copy(update={"serve_seconds": endpoint.seconds}))
