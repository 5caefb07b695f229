"""The one fault a stage shows: what happened and what to do about it."""

from appo_core.artifacts import StoreError
from appo_core.jobs.contract import EXIT_BAD_INPUT, EXIT_TRANSIENT, JobError


class StageError(Exception):
    """A stage could not do its work.

    `transient` tells whether the same call may succeed later, `bad_input` whether only other input or settings can.
    """

    def __init__(self, message: str, *, remedy: str = "", transient: bool = False, bad_input: bool = False) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message, self.remedy, self.transient, self.bad_input = message, remedy, transient, bad_input

    @classmethod
    def of(cls, error: StoreError | JobError) -> "StageError":
        """The same fault, found by the store or inside a job's own code."""
        if isinstance(error, StoreError):
            transient, bad_input = error.transient, not error.transient
        else:
            transient, bad_input = error.exit_code == EXIT_TRANSIENT, error.exit_code == EXIT_BAD_INPUT
        return cls(error.message, remedy=error.remedy, transient=transient, bad_input=bad_input)
