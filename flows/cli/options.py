"""Options that several commands share."""

from typing import Annotated

import typer

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="Artifact store: s3://bucket/prefix or a folder. Default: $APPO_STORE, else .appo/store here.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for scripts.")]
