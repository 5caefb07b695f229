"""The one fault a stage shows: what happened and what to do about it."""

from appo_core.artifacts import StoreError
from appo_core.jobs.contract import EXIT_TRANSIENT, JobError


class StageError(Exception):
    """A stage could not do its work. `transient` tells whether the same call may succeed later."""

    def __init__(self, message: str, *, remedy: str = "", transient: bool = False) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message, self.remedy, self.transient = message, remedy, transient

    @classmethod
    def of(cls, error: StoreError | JobError) -> "StageError":
        """The same fault, found by the store or inside a job's own code."""
        transient = error.transient if isinstance(error, StoreError) else error.exit_code == EXIT_TRANSIENT
        return cls(error.message, remedy=error.remedy, transient=transient)
