"""Trajectories, the tool-use protocol, the asynchronous rollout loop and the inference engines."""

from appo_core.rollout.codec import Codec
from appo_core.rollout.loop import run_trajectory
from appo_core.rollout.prompts import SYSTEM_PROMPTS, system_prompt
from appo_core.rollout.runner import RolloutRunner
from appo_core.rollout.types import Finish, Prefix, ToolCall, Trajectory

__all__ = [
    "SYSTEM_PROMPTS",
    "Codec",
    "Finish",
    "Prefix",
    "RolloutRunner",
    "ToolCall",
    "Trajectory",
    "run_trajectory",
    "system_prompt",
]
