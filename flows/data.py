"""Flow: rows in, four checked datasets out."""

from prefect import flow

from appo_core.config import DataSettings
from flows.common import ENDED, Name, StoreUrl, finish, open_store, request
from flows.defaults import DEMO
from tasks.data import STAGE, data
from tasks.sources import data_sources
from tasks.stage import StageResult


@flow(name="data", flow_run_name="data {name}", on_failure=ENDED, on_cancellation=ENDED)
def data_flow(name: Name = "demo", settings: DataSettings = DEMO.data, store: StoreUrl = None) -> StageResult:
    """Load, repair, decontaminate and check rows; publish dataset/<name>-sft, -rl, -benchmarks and -corpus.

    Args:
        name: Name of the chain.
        settings: Where rows come from, what is repaired and what is refused.
        store: Artifact store.
    """
    place = open_store(store)
    wanted = request(STAGE, place, name, settings.model_dump(mode="json"), {}, also=data_sources(settings))
    return finish(place, STAGE, data, wanted)
