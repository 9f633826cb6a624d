"""The commands of ``cellwright``: in which order ``--help`` and the reference show them, what each
serves, and which module brings it.

Made once by typer for the program's top group. A command's module is imported when the command is
asked for, because nobody who looks at one tag is to wait for the compiler; the list of the commands
needs none of them. It runs and decides nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import typer.main
from typer.core import TyperCommand, TyperGroup


class Entry(NamedTuple):
    """A command as the list shows it."""

    module: str
    """Module of this package whose ``register`` adds the command."""
    help: str
    """First paragraph of the command's own help."""


PANELS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "Prepare a cell (none needs to be running)": {
        "init": Entry("offline.init", "Create a commented cell that is ready to run."),
        "check": Entry(
            "offline.cell_file",
            "Validate a cell file and the files it refers to.",
        ),
        "xref": Entry("offline.cell_file", "Print who reads and who writes each tag."),
        "schema": Entry(
            "offline.cell_file", "Print the JSON Schema of the cell file, for editors."
        ),
        "nodeset": Entry(
            "offline.nodeset", "Write the OPC UA model of a cell file as NodeSet2 (XML)."
        ),
        "user": Entry("offline.users", "Users of the OPC UA server."),
        "trust": Entry("live.trust", "Clients that the OPC UA server trusts."),
        "simulate": Entry(
            "offline.simulate",
            "Run a cell in simulated time, with its own programs and simulated devices.",
        ),
    },
    "Run a cell": {
        "run": Entry("offline.run", "Run a cell until interrupted."),
        "start": Entry(
            "live.modes",
            "Start the cell (warm start: retained values are kept).",
        ),
        "pause": Entry(
            "live.modes",
            "Pause the tasks. Inputs are still read, outputs keep their values.",
        ),
        "resume": Entry("live.modes", "Resume after a pause (hot start)."),
        "stop": Entry("live.modes", "Stop the cell. Outputs take their safe values."),
        "reset": Entry("live.modes", "Reset a fault once its cause is gone (FAULT to STOP)."),
        "change": Entry(
            "live.change",
            "Change the programs of a running cell between two cycles (online change).",
        ),
    },
    "Observe a running cell": {
        "status": Entry(
            "live.status", "Show state, ticks, tasks with their times, processes and devices."
        ),
        "watch": Entry(
            "live.watch",
            "Show tags live until interrupted or until the cell ends (exit code 1).",
        ),
        "tags": Entry(
            "live.tags",
            "List, read and write tags of a running cell; a cell file's tags as a list.",
        ),
        "ua": Entry("live.ua.commands", "A client for the cell's OPC UA server, or any other."),
        "alarms": Entry(
            "live.alarms",
            "List alarms that are active, unacknowledged, shelved or cannot be evaluated.",
        ),
        "scope": Entry(
            "live.recordings", "Plot tags over time, live from a running cell or from a recording."
        ),
    },
    "Operate a running cell": {
        "force": Entry("live.forces", "Force a tag to a value until it is released."),
        "unforce": Entry("live.forces", "Release one force, or all."),
        "ack": Entry("live.alarms", "Acknowledge one alarm, or all of them."),
        "shelve": Entry("live.alarms", "Shelve an alarm for a limited time."),
        "unshelve": Entry("live.alarms", "Unshelve an alarm before its time is up."),
        "reset-counters": Entry(
            "live.modes",
            "Reset the counters and times shown by `status`. Recorded in the audit trail.",
        ),
    },
    "Records and recordings": {
        "events": Entry(
            "offline.events",
            "Show events of a cell from its journal, newest last: who did what, when and why.",
        ),
        "history": Entry("offline.mes.history", "Recorded values of the tags of a cell."),
        "mes": Entry("offline.mes.commands", "Work orders, parts and audit trail of a cell."),
        "record": Entry(
            "live.recordings",
            "Save the flight recorder's window, and what follows, to a file.",
        ),
        "recordings": Entry(
            "live.recordings",
            "List saved recordings with the trigger or other cause of each.",
        ),
        "replay": Entry(
            "live.recordings",
            "Replay a recording and compare every cycle; exit code 0: identical, 1: different.",
        ),
    },
    "Backup": {
        "backup": Entry(
            "offline.backup",
            "Save a cell, running or not, with its programs, records and keys as one verified "
            "archive.",
        ),
        "restore": Entry(
            "offline.backup", "Make a cell of an archive, on this PC; nothing is overwritten."
        ),
    },
    "This PC and this program": {
        "doctor": Entry("offline.doctor", "Check whether this PC is set up for real time."),
        "latency": Entry(
            "offline.latency",
            "Measure scan jitter against a bare wait loop.",
        ),
        "version": Entry("offline.version", "Print the version."),
    },
}
"""Heading to commands, both in the order in which they are shown; each command stands once."""

_HEADINGS: Final = {name: heading for heading, names in PANELS.items() for name in names}


class _Commands(MutableMapping[str, Any]):
    """The commands by name; asking for one imports its module, asking for names imports none."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = dict.fromkeys(_HEADINGS)

    def __getitem__(self, name: str) -> Any:
        command = self._known[name]
        if command is None:
            command = self._known[name] = _command(name)
        return command

    def __setitem__(self, name: str, command: Any) -> None:
        raise KeyError(f"the command {name} stands below no heading of PANELS")

    def __delitem__(self, name: str) -> None:
        del self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _command(name: str) -> Any:
    heading = _HEADINGS[name]
    holder = typer.Typer()
    import_module(f"{__package__}.{PANELS[heading][name].module}").register(holder)
    command = typer.main.get_group(holder).commands[name]
    command.rich_help_panel = heading  # type: ignore[attr-defined]
    return command


class PanelGroup(TyperGroup):
    """The commands in the order of `PANELS`, each below its heading."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The program's help, made of `PANELS` alone."""
        listed: dict[str, Any] = {
            name: TyperCommand(name, help=entry.help, rich_help_panel=heading)
            for heading, entries in PANELS.items()
            for name, entry in entries.items()
        }
        TyperGroup(
            name=self.name,
            commands=listed,
            params=self.params,
            help=self.help,
            no_args_is_help=self.no_args_is_help,
        ).format_help(ctx, formatter)
