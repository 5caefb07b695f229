"""The one fault a stage shows: what happened and what to do about it."""


class StageError(Exception):
    """A stage could not do its work. `transient` tells whether the same call may succeed later."""

    def __init__(self, message: str, *, remedy: str = "", transient: bool = False) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message, self.remedy, self.transient = message, remedy, transient
