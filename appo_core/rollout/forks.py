"""Trajectories that start because of what others do while they run."""

from typing import Protocol

from appo_core.rollout.engines.base import Generation
from appo_core.rollout.types import Trajectory


class Forks(Protocol):
    """Decides about further trajectories; every method returns at once."""

    @property
    def entropy_tokens(self) -> int:
        """Of how many tokens per generation call the entropies are wanted."""
        ...

    def begun(self, trajectory: Trajectory) -> None:
        """A trajectory, given or forked, joins those that run."""
        ...

    def after_call(self, trajectory: Trajectory, generation: Generation) -> list[Trajectory]:
        """What starts behind a tool call of `trajectory` whose result has been injected."""
        ...

    def after_end(self, trajectory: Trajectory) -> list[Trajectory]:
        """What starts now that `trajectory` has ended."""
        ...
