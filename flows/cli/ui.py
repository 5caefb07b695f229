"""`appo ui`: the Prefect UI over this folder's database."""

import time
from typing import Annotated

import typer

from flows.cli.faults import CliError, guarded


@guarded
def ui(
    port: Annotated[int, typer.Option("--port", help="Port on the loopback interface.", min=1, max=65535)] = 4200,
) -> None:
    """Open Prefect's UI over the database in .appo/prefect, until interrupted."""
    from flows.cli.prefect_server import HOST, port_is_free, server

    if not port_is_free(port):
        raise CliError(f"port {port} is in use; end what listens there, or choose another with --port")
    typer.echo("starting the Prefect server ...")
    with server(port):
        typer.echo(f"Prefect UI: http://{HOST}:{port}/v2/runs (Ctrl-C ends it)")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            typer.echo("ended")
