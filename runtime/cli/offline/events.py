"""``cellwright events``: what the journal of a cell holds, whether the cell runs or not.

Reads the journal beside its writer and changes nothing.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, get_args

import msgspec
import typer

from cellwright.io.files.problems import nearest
from cellwright.io.journal.journal import (
    CORRUPT,
    JOURNAL_FILE,
    JournalError,
    JournalReader,
    Search,
)
from cellwright.io.messages import AnyEvent
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.run_folder import cell_folder, find, known_cells, run_command
from cellwright.runtime.cli.common import CellOption, DataOption, cell_file, fail
from cellwright.runtime.cli.console import columns
from cellwright.runtime.cli.offline.times import MOMENT_HELP, span
from cellwright.runtime.cli.views.events import CSV_TITLES, Told, tell, titles
from cellwright.runtime.cli.views.folding import FoldedTable

KINDS: Final = (*sorted(str(one.__struct_config__.tag) for one in get_args(AnyEvent)), CORRUPT)
LOOK_S: Final = 0.3
"""Between two looks at a journal that is followed."""
_INT64: Final = 1 << 63

Show = Callable[[Sequence[Told]], None]


class Wanted(msgspec.Struct, frozen=True):
    """Which events are shown."""

    search: Search
    tags: tuple[str, ...]
    actors: tuple[str, ...]

    def __contains__(self, told: Told) -> bool:
        return (not self.tags or self._of_tag(told)) and (not self.actors or self._by_actor(told))

    def _of_tag(self, told: Told) -> bool:
        tag = getattr(told.event, "tag", None)
        # An empty name is that of all tags: somebody released every force.
        return tag is not None and (not tag or any(fnmatchcase(tag, one) for one in self.tags))

    def _by_actor(self, told: Told) -> bool:
        actor = getattr(told.event, "actor", "")
        names = (actor, actor.partition("@")[0])
        return bool(actor) and any(fnmatchcase(name, one) for one in self.actors for name in names)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(events)


def events(  # noqa: PLR0917 - as many as the command has options
    place: Annotated[
        Path | None,
        typer.Argument(help="Cell file, or the folder that holds it. Default: as for --cell."),
    ] = None,
    cell: CellOption = None,
    data: DataOption = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="Only events of this kind, like force_changed; may be repeated."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="Only writes and forces of this tag, or pattern; may be repeated."),
    ] = None,
    actor: Annotated[
        list[str] | None,
        typer.Option(help="Only what this user (ana, ana@console, *@console) did; repeatable."),
    ] = None,
    since: Annotated[str, typer.Option(help=f"Not before: {MOMENT_HELP}.")] = "",
    until: Annotated[str, typer.Option(help="Not after: the same; a date means its end.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Show only the newest ones.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new events until interrupted.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable output, one object a line.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets; times are UTC.")] = False,
) -> None:
    """Show events of a cell from its journal, newest last: who did what, when and why."""
    if as_json and as_csv:
        fail("--json and --csv cannot be had together; leave one out", 2)
    if follow and until:
        fail("--follow shows what is still to come; leave --until out", 2)
    wanted = Wanted(_search(kind or [], since, until), tuple(tag or ()), tuple(actor or ()))
    journal = _journal(place, cell, data)
    show = _show_json if as_json else _show_csv() if as_csv else _show_table(journal)
    try:
        _run(journal, wanted, limit, show, follow=follow, tell_more=not (as_json or as_csv))
    except JournalError as error:
        fail(str(error))
    except KeyboardInterrupt:
        return


def _run(
    journal: Path, wanted: Wanted, limit: int, show: Show, *, follow: bool, tell_more: bool
) -> None:
    with JournalReader(journal) as reader:
        after = reader.last_sequence
        found = _newest(reader, wanted, limit + 1, after + 1)
        show(found[-limit:])
        if tell_more and len(found) > limit:
            typer.echo(f"(the newest {limit}; --limit shows more)", err=True)
        while follow:
            rows = reader.later(wanted.search, after)
            if rows:
                after = rows[-1].sequence
                new = [told for told in map(tell, rows) if told in wanted]
                if new:
                    show(new)
            else:
                time.sleep(LOOK_S)
                _still_there(journal, reader)


def _newest(reader: JournalReader, wanted: Wanted, count: int, before: int) -> list[Told]:
    """The last ``count`` events that are wanted, in order."""
    found: list[Told] = []
    while len(found) < count:
        rows = reader.newest(wanted.search, before)
        if not rows:
            break
        before = rows[-1].sequence
        found += [told for told in map(tell, rows) if told in wanted]
    return found[:count][::-1]


def _still_there(journal: Path, reader: JournalReader) -> None:
    """A journal that was moved away or replaced gets no more events; raises JournalError."""
    with JournalReader(journal) as present:
        if present.identity != reader.identity:
            raise JournalError(f"the journal {journal} was replaced by a new one; start again")


# --- which journal, which events ------------------------------------------------------------------


def _journal(place: Path | None, cell: str | None, data: Path | None) -> Path:
    """The journal that is meant; exit code 1 when there is none, 2 when no cell is meant."""
    if place is not None and cell is not None:
        fail("give the cell once: as an argument or with --cell", 2)
    if data is not None:
        source: object = place or cell or Path()
        folder = data
    else:
        source, folder = _cell(str(place) if place is not None else cell)
    journal = folder / JOURNAL_FILE
    if not journal.is_file():
        fail(
            f"there is no journal {journal} yet; it begins with '{run_command(source)}', and "
            "--data names another data folder"
        )
    return journal


def _cell(selector: str | None) -> tuple[object, Path]:
    """File and data folder of the cell; of one that runs, or was killed and is named, those with
    which it was started."""
    here = Path.cwd()
    try:
        plan = find(selector, here).plan()
    except RunError as error:
        killed = [plan for _, plan in known_cells() if plan.cell == selector]
        if len(killed) == 1:
            return killed[0].source, Path(killed[0].data)
        stopped = cell_folder(here) if selector is None else Path(selector)
        if stopped is None or not cell_file(stopped).is_file():
            fail(f"{error}; of a cell that has ended, give the folder")
        # Brings the compiler, which a cell that runs does not need.
        from cellwright.runtime.cli.compiling import compiled  # noqa: PLC0415

        plan = compiled(stopped)
    return plan.source, Path(plan.data)


def _search(kinds: Sequence[str], since: str, until: str) -> Search:
    for one in kinds:
        if one not in KINDS:
            fail(f"there is no kind of event '{one}'; {nearest(one, KINDS)}", 2)
    begin, end = span(since, until)
    return Search(
        kinds=tuple(kinds),
        from_ns=-_INT64 if begin is None else _nanoseconds(begin),
        to_ns=_INT64 - 1 if end is None else _nanoseconds(end) + 999,
    )


def _nanoseconds(at: datetime) -> int:
    """Since 1970, as the journal counts; a time that it cannot hold is its first or its last."""
    return max(-_INT64, min(round(at.timestamp() * 1e6) * 1000, _INT64 - 1000))


# --- how they are shown ---------------------------------------------------------------------------


def _show_json(found: Sequence[Told]) -> None:
    for told in found:
        sys.stdout.write(json.dumps(told.data()) + "\n")
    sys.stdout.flush()


def _show_csv() -> Show:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(CSV_TITLES)

    def show(found: Sequence[Told]) -> None:
        writer.writerows(told.csv_row() for told in found)
        sys.stdout.flush()

    return show


def _show_table(journal: Path) -> Show:
    table: FoldedTable | None = None

    def show(found: Sequence[Told]) -> None:
        nonlocal table
        if not found:
            typer.echo(f"no such events in {journal}")
            return
        first = table is None
        if table is None:
            table = FoldedTable(titles(found), columns())
        for line in table.lines([told.cells() for told in found], header=first):
            typer.echo(line)
        sys.stdout.flush()

    return show
