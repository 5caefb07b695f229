"""Reinforcement-learning methods: one module each, found by its file name; a new method is one new file.

A method module defines one subclass of `Method` named ``METHOD`` and imports torch inside its functions only, so that
settings can read its defaults without torch.
"""

from appo_core.methods.base import Method, Outcomes
from appo_core.methods.registry import method_class, method_names

__all__ = ["Method", "Outcomes", "method_class", "method_names"]
