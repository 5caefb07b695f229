"""`appo run`: run one flow, or the whole chain, with a preset's settings."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.faults import EXIT_CODES, CliError, guarded
from flows.cli.options import Json, Store

if TYPE_CHECKING:
    from appo_core.config import PipelineSettings

FLOWS = {
    "pipeline": (),
    "compare": (),
    "data": (),
    "base-model": ("data", "corpus"),
    "sft": ("model", "data"),
    "rl": ("model", "data", "corpus"),
    "merge": ("checkpoint", "reference", "base"),
    "serve": ("model",),
    "evaluate": ("model", "benchmarks", "corpus"),
}
"""Flows, and the input artifacts that can be named for each."""


@guarded
def run(
    flow: Annotated[str, typer.Argument(help=f"One of {', '.join(FLOWS)}.")],
    preset: Annotated[str, typer.Option("--preset", help="Name of a preset, or a YAML file.")] = "demo",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE, such as rl.steps=20; the value is YAML. Repeatable.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="ROLE=REF, such as model=sft-model/demo@latest. Repeatable."),
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Run a flow. What is published already is reused; an interrupted run resumes when started again."""
    from appo_core.config.presets import load_preset

    settings = load_preset(preset, overrides or ())
    refs = parse_inputs(flow, inputs or ())
    probe_store(store)

    from flows.cli.display import consoles, print_result, shown
    from flows.cli.prefect_server import prefect_api

    console = consoles(as_json)
    started = time.monotonic()
    console.print("connecting to Prefect ...", highlight=False)
    with prefect_api() as url:
        console.print(f"Prefect: {url.removesuffix('/api')}", highlight=False)
        with shown(console):
            result = call(flow, settings, refs, store)
    if as_json:
        typer.echo(result.model_dump_json())
    else:
        print_result(console, result)
        console.print(f"done in {time.monotonic() - started:.0f} s", highlight=False)


run.__doc__ = f"{run.__doc__}\n\n{EXIT_CODES}"


def parse_inputs(flow: str, inputs: "list[str] | tuple[str, ...]") -> dict[str, str]:
    """Roles and references of `--input`; raises `CliError` for a flow or role that does not exist."""
    from appo_core.artifacts import ArtifactRef

    if flow not in FLOWS:
        raise CliError(f"unknown flow '{flow}'; choose from {', '.join(FLOWS)}")
    refs: dict[str, str] = {}
    for one in inputs:
        role, equals, ref = one.partition("=")
        if not equals or role not in FLOWS[flow]:
            choices = ", ".join(FLOWS[flow]) or "none: the chain makes its own inputs"
            raise CliError(f"--input {one}: expected ROLE=REF; roles of {flow}: {choices}")
        refs[role] = str(ArtifactRef.parse(ref))
    return refs


def probe_store(url: str | None) -> None:
    """Fail at once, and clearly, for a store that cannot be reached or written; raises `StoreError`."""
    from appo_core.artifacts import Store as ArtifactStore
    from appo_core.local import default_store

    ArtifactStore.open(url or default_store()).require_writable()


def call(flow: str, settings: "PipelineSettings", refs: dict[str, str], store: str | None) -> Any:
    """Run the flow in this process; its result. Imports Prefect."""
    common: dict[str, Any] = {"name": settings.name, "store": store, **refs}
    if flow == "pipeline":
        from flows.pipeline import pipeline_flow

        return pipeline_flow(settings, store)
    if flow == "compare":
        from flows.compare import compare_flow

        return compare_flow(settings, store)
    if flow == "data":
        from flows.data import data_flow

        return data_flow(settings=settings.data, **common)
    if flow == "base-model":
        from flows.base_model import base_model_flow

        return base_model_flow(settings=settings.base_model, **common)
    if flow == "sft":
        from flows.sft import sft_flow

        return sft_flow(settings=settings.sft, **common)
    if flow == "rl":
        from flows.rl import rl_flow

        return rl_flow(settings=settings.rl, **common)
    if flow == "merge":
        from flows.merge import merge_flow

        return merge_flow(settings=settings.merge, **common)
    if flow == "serve":
        from flows.serve import serve_flow

        return serve_flow(settings=settings.serve, **common)
    from flows.evaluate import evaluate_flow

    return evaluate_flow(settings=settings.evaluate, serve=settings.serve, execution=settings.execution, **common)
