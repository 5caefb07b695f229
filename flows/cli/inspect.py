"""Commands that look: `appo lineage`, `appo store ls`, `appo store verify`, `appo doctor`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.faults import EXIT_FAILED, guarded
from flows.cli.options import Json, Store

if TYPE_CHECKING:
    from appo_core.artifacts import Store as ArtifactStore

store_app = typer.Typer(help="Look into the artifact store.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="kind/name@version or kind/name@latest, such as model/demo@latest")]


@guarded
def lineage(ref: Reference, store: Store = None, as_json: Json = False) -> None:
    """Print everything an artifact was made from, down to the datasets."""
    from appo_core.artifacts.lineage import lineage as trace
    from appo_core.artifacts.lineage import render_text, to_json

    node = trace(_open(store), ref)
    typer.echo(json.dumps(to_json(node), indent=1) if as_json else render_text(node))


@store_app.command("ls")
@guarded
def ls(
    kind: Annotated[str | None, typer.Argument(help="Only this kind, such as model.", show_default=False)] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """List the published artifacts, oldest first."""
    manifests = _open(store).list(kind)
    if as_json:
        rows = [
            {"ref": str(one.ref), "created_at": one.created_at, "bytes": one.total_bytes, "digest": one.digest}
            for one in manifests
        ]
        typer.echo(json.dumps(rows))
        return
    for one in manifests:
        typer.echo(f"{one.created_at[:19]}Z  {one.total_bytes:>13,} B  {one.ref}")
    if not manifests:
        typer.echo("nothing is published there yet", err=True)


@store_app.command("verify")
@guarded
def verify(
    ref: Annotated[str | None, typer.Argument(help="Only this artifact.", show_default=False)] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Read every file of the store, or of one artifact, and compare it with its manifest."""
    from appo_core.artifacts import ArtifactRef
    from appo_core.artifacts.verify import verify as find_problems

    problems = find_problems(_open(store), ArtifactRef.parse(ref) if ref else None)
    if as_json:
        rows = [{"ref": str(one.ref), "path": one.path, "problem": one.message} for one in problems]
        typer.echo(json.dumps(rows))
    else:
        typer.echo("\n".join(map(str, problems)) if problems else "every file is what its manifest says")
    if problems:
        raise typer.Exit(EXIT_FAILED)


@guarded
def doctor(store: Store = None, as_json: Json = False) -> None:
    """Say what this machine lacks for running the chain, and how to get it."""
    from appo_core.doctor import diagnose

    findings = diagnose(store=store)
    if as_json:
        rows = [{"name": f.name, "status": f.status, "detail": f.detail, "remedy": f.remedy} for f in findings]
        typer.echo(json.dumps(rows))
    else:
        for one in findings:
            colour = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW}.get(one.status, typer.colors.RED)
            mark = typer.style(f"{one.status:8}", fg=colour)
            typer.echo(f"{mark} {one.name}: {one.detail}" + (f"\n         {one.remedy}" if one.remedy else ""))
    if any(one.status == "missing" for one in findings):
        raise typer.Exit(EXIT_FAILED)


def _open(url: str | None) -> "ArtifactStore":
    from appo_core.artifacts import Store as ArtifactStore
    from appo_core.local import default_store

    return ArtifactStore.open(url or default_store())
