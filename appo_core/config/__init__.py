"""Settings of every stage: pydantic models, importable without torch."""

from appo_core.config.algorithm import AdvantageSettings, AlgorithmSettings, BranchingSettings, LossSettings
from appo_core.config.base import Settings
from appo_core.config.compare import CompareSettings, ComparisonSettings
from appo_core.config.data import DataSettings, DemoSource, FileSource
from appo_core.config.evaluate import BENCHMARKS, EXTRA_BENCHMARKS, EvaluateSettings, JudgeSettings
from appo_core.config.merge import MergeSettings
from appo_core.config.model import BaseModelSettings, LocalModel, TinyModel
from appo_core.config.pipeline import PipelineSettings
from appo_core.config.rl import OptimizerSettings, RewardSettings, RlSettings
from appo_core.config.rollout import (
    BingSearchSettings,
    EngineSettings,
    LoopLimits,
    PromptSettings,
    PythonToolSettings,
    SamplingSettings,
    SearchToolSettings,
    ToolSettings,
)
from appo_core.config.serve import ServeSettings
from appo_core.config.sft import SftSettings

__all__ = [
    "BENCHMARKS",
    "EXTRA_BENCHMARKS",
    "AdvantageSettings",
    "AlgorithmSettings",
    "BaseModelSettings",
    "BingSearchSettings",
    "BranchingSettings",
    "CompareSettings",
    "ComparisonSettings",
    "DataSettings",
    "DemoSource",
    "EngineSettings",
    "EvaluateSettings",
    "FileSource",
    "JudgeSettings",
    "LocalModel",
    "LoopLimits",
    "LossSettings",
    "MergeSettings",
    "OptimizerSettings",
    "PipelineSettings",
    "PromptSettings",
    "PythonToolSettings",
    "RewardSettings",
    "RlSettings",
    "SamplingSettings",
    "SearchToolSettings",
    "ServeSettings",
    "Settings",
    "SftSettings",
    "TinyModel",
    "ToolSettings",
]
