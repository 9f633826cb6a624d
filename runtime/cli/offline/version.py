"""``cellwright version`` and ``--version``."""

from __future__ import annotations

from importlib.metadata import version

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("version")(show_version)


def show_version() -> None:
    """Print the version."""
    typer.echo(f"cellwright {version('cellwright')}")
