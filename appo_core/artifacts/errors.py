"""Faults of the artifact store: a cause and a remedy in one line."""


class StoreError(Exception):
    """The store cannot do what was asked.

    `transient` tells whether the same call may succeed later (an unreachable server) or never will (wrong credentials).
    """

    def __init__(self, message: str, *, remedy: str = "", transient: bool = False) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message, self.remedy, self.transient = message, remedy, transient


class ArtifactNotFound(StoreError):
    """No artifact of that kind, name and version or alias."""


class AliasConflict(StoreError):
    """An alias points somewhere else than the caller expected: somebody moved it first."""
