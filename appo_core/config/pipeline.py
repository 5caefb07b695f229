"""The settings of the whole chain, one model that presets fill in."""

from typing import Annotated, Literal

from pydantic import Field

from appo_core.config.base import Settings
from appo_core.config.compare import CompareSettings
from appo_core.config.data import DataSettings
from appo_core.config.evaluate import EvaluateSettings
from appo_core.config.merge import MergeSettings
from appo_core.config.model import BaseModelSettings, TinyModel
from appo_core.config.rl import RlSettings
from appo_core.config.serve import ServeSettings
from appo_core.config.sft import SftSettings

ArtifactName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class PipelineSettings(Settings):
    """Cold-start SFT -> APPO RL -> merge -> vLLM serving -> 13-benchmark pass@k evaluation."""

    name: ArtifactName = "demo"
    """Name of every artifact this chain publishes: model/<name>, dataset/<name>-rl, ..."""
    execution: Literal["inline", "deployments"] = "inline"
    """Run stages in this flow's process, or each as its own deployment on that stage's work pool."""
    base_model: BaseModelSettings = TinyModel()
    data: DataSettings = DataSettings()
    sft: SftSettings = SftSettings()
    rl: RlSettings = RlSettings()
    merge: MergeSettings = MergeSettings()
    serve: ServeSettings = ServeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    compare: CompareSettings = CompareSettings()
    """Only for the `compare` flow."""
