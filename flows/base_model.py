"""Flow: the base model as an artifact."""

from prefect import flow

from appo_core.config import BaseModelSettings, TinyModel
from flows.common import ENDED, Name, Ref, StoreUrl, finish, open_store, request
from flows.defaults import DEMO
from tasks.base_model import STAGE, base_model
from tasks.sources import model_sources
from tasks.stage import StageResult


@flow(name="base-model", flow_run_name="base-model {name}", on_failure=ENDED, on_cancellation=ENDED)
def base_model_flow(
    name: Name = "demo",
    settings: BaseModelSettings = DEMO.base_model,
    data: Ref = None,
    corpus: Ref = None,
    store: StoreUrl = None,
) -> StageResult:
    """Build the tiny model, or take a Hugging Face folder; publish model/<name>-base.

    Args:
        name: Name of the chain.
        settings: The tiny model's shape, or the path of a model folder.
        data: Conversations that train the tiny model's tokenizer; dataset/<name>-sft@latest by default.
        corpus: Texts that train the tiny model's tokenizer; dataset/<name>-corpus@latest by default.
        store: Artifact store.
    """
    place = open_store(store)
    texts = {"data": data or f"dataset/{name}-sft@latest", "corpus": corpus or f"dataset/{name}-corpus@latest"}
    inputs = texts if isinstance(settings, TinyModel) else {}
    wanted = request(STAGE, place, name, settings.model_dump(mode="json"), inputs, also=model_sources(settings))
    return finish(place, STAGE, base_model, wanted)
