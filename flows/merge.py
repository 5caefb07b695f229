"""Flow: sharded checkpoint, or adapter and base model, to Hugging Face model."""

from prefect import flow

from appo_core.artifacts import Store, StoreError
from appo_core.config import MergeSettings
from appo_core.config.merge import CheckpointFolder
from flows.common import ENDED, Name, Ref, StoreUrl, existing, finish, open_store, request
from flows.defaults import DEMO
from tasks.errors import StageError
from tasks.merge import STAGE, merge
from tasks.sources import merge_sources
from tasks.stage import StageResult


@flow(name="merge", flow_run_name="merge {name}", on_failure=ENDED, on_cancellation=ENDED)
def merge_flow(
    name: Name = "demo",
    settings: MergeSettings = DEMO.merge,
    checkpoint: Ref = None,
    reference: Ref = None,
    base: Ref = None,
    store: StoreUrl = None,
) -> StageResult:
    """Merge shards, or an adapter, into safetensors and verify the model by its log-probs; publish model/<name>.

    Args:
        name: Name of the chain.
        settings: What to merge when it lies outside the store, data type and accepted log-prob difference.
        checkpoint: Checkpoint to merge; rl-checkpoint/<name>@latest by default.
        reference: Model that the merged one must equal in names, shapes and token ids; sft-model/<name>@latest.
        base: Model below an adapter; the one that the checkpoint was trained from by default.
        store: Artifact store.
    """
    place = open_store(store)
    outside = settings.source if isinstance(settings.source, CheckpointFolder) else None
    if outside and checkpoint:
        message = f"merge.source.path is {outside.path}, and the checkpoint {checkpoint} is given, too"
        raise StageError(message, remedy="name one of them", bad_input=True)
    if outside:
        inputs, also = {"base": base} if base else {}, merge_sources(outside, base_given=bool(base))
        like = {"reference": reference} if reference else {}
    else:
        inputs, also = published(place, checkpoint or f"rl-checkpoint/{name}@latest", base), {}
        like = {"reference": reference} if reference else existing(place, {"reference": f"sft-model/{name}@latest"})
    wanted = request(STAGE, place, name, settings.model_dump(mode="json"), inputs | like, also=also)
    return finish(place, STAGE, merge, wanted)


def published(place: Store, checkpoint: str, base: str | None) -> dict[str, str]:
    """A checkpoint as input and, for one that holds an adapter, the model that it was trained from."""
    try:
        manifest = place.find(checkpoint)
    except StoreError as error:
        raise StageError.of(error) from None
    adapter = any(entry.path == "adapter/adapter_config.json" for entry in manifest.files)
    origin = next((str(parent.ref) for parent in manifest.parents if parent.role == "model"), None)
    below = base or (origin if adapter else None)
    return {"checkpoint": str(manifest.ref)} | ({"base": below} if below else {})
