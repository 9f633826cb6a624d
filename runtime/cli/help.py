"""The order in which ``cellwright --help`` and the reference show the commands, by what they serve.

Made once by typer for the program's top group. It shows and decides nothing else.
"""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperGroup

PANELS: Final[dict[str, tuple[str, ...]]] = {
    "Prepare a cell (none needs to be running)": (
        "init",
        "check",
        "xref",
        "schema",
        "user",
        "simulate",
    ),
    "Run a cell": ("run", "start", "pause", "resume", "stop", "reset", "change"),
    "Observe a running cell": ("status", "watch", "tags", "alarms", "scope"),
    "Operate a running cell": ("force", "unforce", "ack", "shelve", "unshelve", "reset-counters"),
    "Records and recordings": ("mes", "record", "recordings", "replay"),
    "This PC and this program": ("doctor", "latency", "version"),
}
"""Heading to commands, both in the order in which they are shown; each command stands once."""


class PanelGroup(TyperGroup):
    """The commands in the order of `PANELS`, each below its heading."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        given = dict(self.commands)
        self.commands = {}
        for heading, names in PANELS.items():
            for name in names:
                command = given.pop(name)
                command.rich_help_panel = heading  # type: ignore[attr-defined]
                self.commands[name] = command
        if given:
            raise KeyError(f"these commands stand below no heading of PANELS: {', '.join(given)}")
