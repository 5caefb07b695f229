"""The command line `appo`. Prefect is imported only by the commands that need it, so that help is quick."""


def main() -> None:
    """Entry point of the `appo` command."""
    from flows.cli.app import app

    app()
