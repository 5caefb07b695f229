"""Flow: APPO reinforcement learning."""

from prefect import flow

from appo_core.config import RlSettings
from flows.common import ENDED, Name, Ref, StoreUrl, existing, finish, open_store, request
from flows.defaults import DEMO
from tasks.rl import STAGE, rl
from tasks.stage import StageResult


@flow(name="rl", flow_run_name="rl {name}", on_failure=ENDED, on_cancellation=ENDED)
def rl_flow(
    name: Name = "demo",
    settings: RlSettings = DEMO.rl,
    model: Ref = None,
    data: Ref = None,
    corpus: Ref = None,
    store: StoreUrl = None,
) -> StageResult:
    """Train the SFT model with APPO; publish rl-checkpoint/<name> (sharded) and rollouts/<name>.

    Args:
        name: Name of the chain.
        settings: Steps, algorithm, tools, limits and engine.
        model: Model to start from; sft-model/<name>@latest by default.
        data: Prompts; dataset/<name>-rl@latest by default.
        corpus: Documents and recorded results of the search tool; dataset/<name>-corpus@latest if there is one.
        store: Artifact store.
    """
    place = open_store(store)
    inputs = {"model": model or f"sft-model/{name}@latest", "data": data or f"dataset/{name}-rl@latest"}
    optional = {"corpus": corpus} if corpus else existing(place, {"corpus": f"dataset/{name}-corpus@latest"})
    return finish(place, STAGE, rl, request(STAGE, place, name, settings.model_dump(mode="json"), inputs | optional))
