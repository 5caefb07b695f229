"""The commands of `appo`."""

import typer

from flows.cli import bench, inspect, presets, rollouts, run, ui
from flows.cli.faults import EXIT_CODES

app = typer.Typer(
    name="appo",
    help=f"Post-training for tool-using agents: SFT, APPO RL, merge, serving, pass@k.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("lineage")(inspect.lineage)
app.add_typer(inspect.store_app, name="store")
app.add_typer(rollouts.rollouts_app, name="rollouts")
app.add_typer(bench.bench_app, name="bench")
app.command("presets")(presets.presets)
app.command("doctor")(inspect.doctor)
app.command("ui")(ui.ui)
