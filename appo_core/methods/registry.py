"""Which methods there are: the modules of this package."""

import importlib
import pkgutil
from functools import cache

from appo_core.methods.base import Method

_OTHERS = ("base", "registry")


@cache
def method_names() -> tuple[str, ...]:
    """Names of all methods, as settings spell them; no module is imported for it."""
    package = importlib.import_module("appo_core.methods")
    return tuple(sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.name not in _OTHERS))


def method_class(name: str) -> type[Method]:
    """The method called `name`; raises ValueError that lists the known ones."""
    if name not in method_names():
        raise ValueError(f"unknown algorithm '{name}'; known are {', '.join(method_names())}")
    chosen: type[Method] = importlib.import_module(f"appo_core.methods.{name}").METHOD
    return chosen
