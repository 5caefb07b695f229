"""What a stage is: its environment, the code that decides its result, its inputs and its outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from appo_core.artifacts import ArtifactRef, Manifest, ParentRef, Store, code_digest, stage_key
from tasks.environments import EnvironmentName


@dataclass(frozen=True)
class Output:
    """One artifact a stage publishes."""

    role: str
    """What later stages call it."""
    kind: str
    suffix: str = ""
    """Appended to the chain's name: `demo` + `-rl`."""
    folder: str = "."
    """Where its files lie under the job's output."""
    suites: tuple[str, ...] = ()
    """The check suites it must pass before it is published."""
    metrics: tuple[str, ...] = ("",)
    """Prefixes of the job's metrics that speak of this output."""
    optional: bool = False
    """May be absent (a data source without a corpus)."""


@dataclass(frozen=True)
class Origin:
    """Where data from outside the chain comes from, and under which licence."""

    source: str = ""
    licence: str = ""


def _inside(_settings: Mapping[str, Any]) -> Origin:
    return Origin()


@dataclass(frozen=True)
class Stage:
    """The declaration of one stage."""

    name: str
    version: str
    """Raised by hand when a change must re-run the stage although no code in `code` changed."""
    environment: EnvironmentName
    code: tuple[str, ...]
    """Modules and packages that decide the result. Settings models are left out: their values are in the key."""
    outputs: tuple[Output, ...]
    roles: tuple[str, ...] = ()
    """Inputs the job cannot do without."""
    origin: Callable[[Mapping[str, Any]], Origin] = _inside
    """From the stage's settings, for stages that bring something in."""

    @property
    def module(self) -> str:
        """The job's module."""
        return f"appo_core.jobs.{self.name}"

    @property
    def slug(self) -> str:
        """The name as part of a Prefect artifact key."""
        return self.name.replace("_", "-")

    def digest(self) -> str:
        """sha256 over the source of everything that decides the result."""
        return _digest(self.code)

    def artifact_name(self, output: Output, name: str) -> str:
        """Name of one output's artifact in the chain `name`."""
        return f"{name}{output.suffix}"


@cache
def _digest(modules: tuple[str, ...]) -> str:
    return code_digest(*modules)


class StageRequest(BaseModel):
    """One piece of stage work: everything that decides its result is pinned, and `key` names that result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str
    name: str
    settings: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    """role -> pinned reference (`model/demo@v0123456789ab`)."""
    also: dict[str, Any] = {}
    """What else decides the result: digests of files from outside the store, the server's settings."""
    context: dict[str, Any] = {}
    """What the job must know and what decides nothing: endpoints, ports."""
    key: str


class StageResult(BaseModel):
    """What a stage has to show: references, never data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    status: Literal["ran", "reused"]
    seconds: float
    outputs: dict[str, str]
    """role -> pinned reference."""
    metrics: dict[str, Any] = {}
    serve_seconds: float | None = None
    """How long the model server took to be ready; None when none was needed."""

    def ref(self, role: str) -> str:
        """The reference of one output."""
        return self.outputs[role]


def prepare(
    stage: Stage,
    store: Store,
    *,
    name: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str] | None = None,
    also: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> StageRequest:
    """A request with pinned inputs and its stage key; raises `StoreError` for an input that is not there."""
    manifests = {role: store.find(ref) for role, ref in (inputs or {}).items()}
    content = {"settings": dict(settings), "also": dict(also or {})}
    parents = [manifest.parent(role) for role, manifest in manifests.items()]
    return StageRequest(
        store=store.url,
        name=name,
        settings=dict(settings),
        inputs={role: str(manifest.ref) for role, manifest in manifests.items()},
        also=dict(also or {}),
        context=dict(context or {}),
        key=stage_key(stage.name, stage.version, stage.digest(), content, parents),
    )


def published(stage: Stage, request: StageRequest, store: Store) -> dict[str, Manifest] | None:
    """The manifests of all outputs if the stage's work is published already; optional ones may be missing."""
    found: dict[str, Manifest] = {}
    for output in stage.outputs:
        manifest = store.find_by_key(output.kind, stage.artifact_name(output, request.name), request.key)
        if manifest is not None:
            found[output.role] = manifest
        elif not output.optional:
            return None
    return found


def parents_of(request: StageRequest, store: Store) -> list[ParentRef]:
    """The request's inputs as parents of what it makes."""
    return [store.find(ArtifactRef.parse(ref)).parent(role) for role, ref in request.inputs.items()]
