"""The base of every settings model: frozen, closed to unknown keys, described by its docstrings."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A validated, immutable group of settings.

    Unknown keys are refused so that a misspelt option can never be ignored silently, and the docstring
    below each field becomes its description in the Prefect form and in error messages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
