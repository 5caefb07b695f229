"""Tools that an agent calls: sandboxed Python, search."""

from appo_core.tools.base import Tool, ToolOutcome
from appo_core.tools.registry import RetryingTool, build_tools

__all__ = ["RetryingTool", "Tool", "ToolOutcome", "build_tools"]
