"""`appo presets`: what ships, and what a preset says once its overrides are applied."""

import json
from typing import Annotated

import typer

from flows.cli.faults import guarded
from flows.cli.options import Json


@guarded
def presets(
    name: Annotated[str | None, typer.Argument(help="Show its resolved settings.", show_default=False)] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE; the value is YAML.")] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or show one with every default filled in."""
    from appo_core.config.presets import load_preset, preset_names, preset_summary

    if name:
        settings = load_preset(name, overrides or ()).model_dump(mode="json")
        if as_json:
            typer.echo(json.dumps(settings))
        else:
            import yaml

            typer.echo(yaml.safe_dump(settings, sort_keys=False), nl=False)
        return
    found = {one: preset_summary(one) for one in preset_names()}
    lines = [json.dumps(found)] if as_json else [f"{one:26} {summary}" for one, summary in found.items()]
    typer.echo("\n".join(lines))
