"""vLLM's OpenAI-compatible server as a supervised child. Imports neither torch nor vLLM."""

from appo_core.serving.server import ModelServer

__all__ = ["ModelServer"]
