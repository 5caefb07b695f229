"""`appo rollouts view`: the rollouts of a step as a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.faults import CliError, guarded
from flows.cli.options import Store

if TYPE_CHECKING:
    from appo_core.viewing.source import Source

rollouts_app = typer.Typer(help="Look into the rollouts that a model learned from.", no_args_is_help=True)


@rollouts_app.callback()
def group() -> None:
    """Look into the rollouts that a model learned from."""


@rollouts_app.command("view")
@guarded
def view(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[REF | PATH]",
            help="rollouts/NAME@VERSION, a folder of step_*.jsonl files, or one such file. Default: the newest "
            "rollouts of the store.",
            show_default=False,
        ),
    ] = None,
    step: Annotated[int | None, typer.Option(help="Step to show. Default: the newest.", show_default=False)] = None,
    prompts: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of prompts to show. Default: as many telling ones as keep the page light.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write. Default: NAME-step-STEP.html here.", show_default=False),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Model folder, or tokenizer.json, where none lies beside the rollouts.", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    store: Store = None,
) -> None:
    """Turn a step's rollouts into one HTML file: trees of rollouts and branches, tokens coloured by branching score."""
    from appo_core.jobs.contract import JobError

    try:
        target = _write(place, step, prompts, output, tokenizer, store)
    except JobError as error:
        raise CliError(f"{error.message}; {error.remedy}") from None
    typer.echo(str(target))
    if show and not _open(target):
        raise CliError(f"no browser could be started; open {target} yourself")


def _write(
    place: str | None,
    step: int | None,
    prompts: int | None,
    output: Path | None,
    tokenizer: Path | None,
    store: str | None,
) -> Path:
    from appo_core.viewing import Pieces, load_step, render

    source = _source(place, store)
    number, name, body = source.dump(step)
    pieces = Pieces.load(tokenizer) if tokenizer else source.pieces()
    page = render(load_step(body, name, pieces, title=source.title, number=number, prompts=prompts))
    target = (output or Path(f"{source.stem}-step-{number:06d}.html")).absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{target}: {error.strerror}; name another file with --output") from None
    return target


def _source(place: str | None, store: str | None) -> "Source":
    """A path where there is something to show, or that can be nothing else; a reference otherwise."""
    from appo_core.artifacts import Store as ArtifactStore
    from appo_core.local import default_store
    from appo_core.viewing.source import LocalSource, StoredSource

    path = Path(place) if place else None
    if path is not None and (path.is_file() or any(path.glob("step_*.jsonl"))):
        return LocalSource(path)
    if path is not None and (path.is_absolute() or place != str(path) or path.suffix == ".jsonl"):
        raise CliError(
            f"{place}: {'no step_*.jsonl file in it' if path.exists() else 'no such file or folder'}; name a folder of "
            "dumps, or rollouts/NAME@VERSION"
        )
    return StoredSource.find(ArtifactStore.open(store or default_store()), place)


def _open(page: Path) -> bool:
    import webbrowser

    return webbrowser.open(page.as_uri())
