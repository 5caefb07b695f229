"""Flow: sharded checkpoint to Hugging Face model."""

from prefect import flow

from appo_core.config import MergeSettings
from flows.common import ENDED, Name, Ref, StoreUrl, existing, finish, open_store, request
from flows.defaults import DEMO
from tasks.merge import STAGE, merge
from tasks.stage import StageResult


@flow(name="merge", flow_run_name="merge {name}", on_failure=ENDED, on_cancellation=ENDED)
def merge_flow(
    name: Name = "demo",
    settings: MergeSettings = DEMO.merge,
    checkpoint: Ref = None,
    reference: Ref = None,
    store: StoreUrl = None,
) -> StageResult:
    """Merge a sharded checkpoint into safetensors and verify it by its log-probs; publish model/<name>.

    Args:
        name: Name of the chain.
        settings: Data type and accepted log-prob difference.
        checkpoint: Checkpoint to merge; rl-checkpoint/<name>@latest by default.
        reference: Model that the merged one must equal in names, shapes and token ids; sft-model/<name>@latest.
        store: Artifact store.
    """
    place = open_store(store)
    inputs = {"checkpoint": checkpoint or f"rl-checkpoint/{name}@latest"}
    like = {"reference": reference} if reference else existing(place, {"reference": f"sft-model/{name}@latest"})
    return finish(place, STAGE, merge, request(STAGE, place, name, settings.model_dump(mode="json"), inputs | like))
