"""Flow: cold-start supervised fine-tuning."""

from prefect import flow

from appo_core.config import SftSettings
from flows.common import ENDED, Name, Ref, StoreUrl, finish, open_store, request
from flows.defaults import DEMO
from tasks.sft import STAGE, sft
from tasks.stage import StageResult


@flow(name="sft", flow_run_name="sft {name}", on_failure=ENDED, on_cancellation=ENDED)
def sft_flow(
    name: Name = "demo",
    settings: SftSettings = DEMO.sft,
    model: Ref = None,
    data: Ref = None,
    store: StoreUrl = None,
) -> StageResult:
    """Fine-tune the base model on conversations with LLaMA-Factory; publish sft-model/<name>.

    Args:
        name: Name of the chain.
        settings: LLaMA-Factory's settings.
        model: Base model; model/<name>-base@latest by default.
        data: Conversations; dataset/<name>-sft@latest by default.
        store: Artifact store.
    """
    place = open_store(store)
    inputs = {"model": model or f"model/{name}-base@latest", "data": data or f"dataset/{name}-sft@latest"}
    return finish(place, STAGE, sft, request(STAGE, place, name, settings.model_dump(mode="json"), inputs))
