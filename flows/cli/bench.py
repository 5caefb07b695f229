"""`appo bench`: measure the library's own parts, side by side, in the engine environment."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.faults import guarded
from flows.cli.options import Json

bench_app = typer.Typer(help="Measure: ratios taken side by side in one run.", no_args_is_help=True)
Quick = Annotated[bool, typer.Option("--quick", help="A tiny form, to see that it runs; its figures mean little.")]


@bench_app.command("algorithm")
@guarded
def algorithm(as_json: Json = False) -> None:
    """Branch scores, selection, advantages and loss against the published code's ways."""
    measure("algorithm", ["--json"] * as_json)


@bench_app.command("rollout")
@guarded
def rollout(
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", exists=True, file_okay=False, resolve_path=True, help="A Hugging Face model folder.",
            show_default="a small seeded model",
        ),
    ] = None,
    quick: Quick = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """The rollout loop against lock-step, the prefix cache, weight updates, on a real vLLM engine."""
    chosen = ["--model", str(model)] if model else []
    measure("rollout", [*chosen, *["--quick"] * quick, *["--json"] * as_json])


@bench_app.command("train")
@guarded
def train(quick: Quick = False, as_json: Json = False) -> None:
    """Packing against padding, memory of the head, the scoring pass, gradient checkpointing."""
    measure("train", [*["--quick"] * quick, *["--json"] * as_json])


@bench_app.command("checkpoint")
@guarded
def checkpoint(quick: Quick = False, as_json: Json = False) -> None:
    """How long writing a checkpoint holds training up."""
    measure("checkpoint", [*["--quick"] * quick, *["--json"] * as_json])


def measure(name: str, arguments: list[str]) -> None:
    """Run `appo_core.bench.<name>` in the engine environment; exits with its code. Raises `StageError` without one."""
    from appo_core.processes import clean_environment
    from tasks.command import THREADS
    from tasks.environments import ROOT, environment_python

    argv = [str(environment_python("engine")), "-m", f"appo_core.bench.{name}", *arguments]
    threads = {variable: value for variable, value in THREADS.items() if variable not in os.environ}
    process = subprocess.Popen(argv, cwd=ROOT, env=clean_environment({"PYTHONUNBUFFERED": "1", **threads}))
    try:
        code = process.wait()
    except KeyboardInterrupt:
        # The terminal has interrupted it too; without a terminal it has to be told.
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        raise
    raise typer.Exit(code)
