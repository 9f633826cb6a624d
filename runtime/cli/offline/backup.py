"""``cellwright backup`` and ``restore``: a cell as one archive, and a cell of it on another PC."""

# ruff: noqa: PLC0415

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.run_folder import cell_folder, find, run_command
from cellwright.runtime.cli.common import DataOption, cell_file, counted, fail, warn

if TYPE_CHECKING:
    from cellwright.io.plan import Plan
    from cellwright.runtime.backup.manifest import Manifest


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    to: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder to write the archive into.")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            "--cell",
            "-c",
            help="File or folder of a cell, or the name of a running one. Default: the cell in "
            "this folder, else the only one that runs.",
        ),
    ] = None,
    data: DataOption = None,
    recordings: Annotated[
        bool, typer.Option("--recordings", help="Also the flight recorder's recordings.")
    ] = False,
    verify: Annotated[
        Path | None,
        typer.Option(
            metavar="ARCHIVE", help="Check this archive against its hashes, and make none."
        ),
    ] = None,
) -> None:
    """Save a cell, running or not, with its programs, records and keys as one verified archive."""
    from cellwright.runtime.backup.archive import Archive
    from cellwright.runtime.backup.manifest import BackupError

    try:
        if verify is not None:
            if to is not None:
                fail("--verify checks an archive and makes none; leave DIR out", 2)
            with Archive(verify) as archive:
                archive.verify()
            typer.echo(f"{verify} is whole: {_told(archive.manifest)}")
            return
        if to is None:
            fail("name the folder to write the archive into, like 'cellwright backup /mnt/usb'", 2)
        from cellwright.runtime.backup.take import take

        taken = take(_plan(cell, data), to, recordings=recordings)
    except BackupError as error:
        fail(str(error))
    typer.echo(f"wrote {taken.path}: {_told(taken.manifest)}, {taken.size / 1e6:.1f} MB, verified")
    if taken.without_records:
        warn("there is no journal in it: the cell has not run yet, or --data names its data folder")
    typer.echo("it holds keys and the hashes of passwords: keep it where only you can read it")


def restore(
    archive: Annotated[Path, typer.Argument(help="Archive that `cellwright backup` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.")],
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="PostgreSQL: an empty database instead of the one in the cell file."
        ),
    ] = None,
    keep_database: Annotated[
        bool,
        typer.Option(
            "--keep-database",
            help="PostgreSQL: use what is in the database, and leave the archive's rows out.",
        ),
    ] = False,
    newer: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Data folder of the former PC, where its disk can still be read: what the cell "
            "did after the backup is taken from its journal.",
        ),
    ] = None,
) -> None:
    """Make a cell of an archive, on this PC; nothing is overwritten."""
    from cellwright.runtime.backup.manifest import BackupError
    from cellwright.runtime.backup.restore import restore as make

    if database is not None and not database.startswith("postgresql"):
        fail("--database: write postgresql://user@host/database", 2)
    if database is not None and keep_database:
        fail("--database is filled and --keep-database fills none; leave one out", 2)
    try:
        done = make(archive, folder, database=database, keep_database=keep_database, newer=newer)
    except BackupError as error:
        fail(str(error))
    typer.echo(f"restored into {folder}: {_told(done.manifest)}")
    for note in done.notes:
        typer.echo(note)
    place = folder if done.file.name == "cell.yaml" else folder / done.file.name
    if newer is None:
        typer.echo(
            f"what the cell did after {done.manifest.made} is not in it: see that no part was "
            "marked after that, and that the former PC cannot start again"
        )
        if done.gives_serials:
            typer.echo(
                "was a part marked after that, its serial would come again: 'cellwright mes "
                f"serials skip PART --to N --reason ... --file {shlex.quote(str(place))}', N being "
                "the running number of the last one, before 'cellwright start'"
            )
    typer.echo(
        f"next: cellwright check {shlex.quote(str(place))} && {run_command(place)}; it waits in "
        "STOP for 'cellwright start'"
    )


def _told(manifest: Manifest) -> str:
    state = "running" if manifest.running else "stopped"
    return (
        f"cell '{manifest.cell}' ({state}) of {manifest.made}, "
        f"{counted(len(manifest.entries), 'file')}"
    )


def _plan(cell: str | None, data: Path | None) -> Plan:
    """The running cell's plan, or that of the file that is meant."""
    here = Path.cwd()
    try:
        plan = find(cell, here).plan()
        # To pack takes a core for a while, and that is not to be the scan's.
        from cellwright.runtime.realtime.grants import leave_core

        leave_core(plan.scan.core)
        if data is None or data.resolve() == Path(plan.data).resolve():
            return plan
        fail(f"the cell '{plan.cell}' runs on {plan.data}; leave --data out, or stop it first")
    except RunError as error:
        stopped = cell_folder(here) if cell is None else Path(cell)
        if stopped is None or not cell_file(stopped).is_file():
            fail(f"{error}; of a cell that does not run, give the file or the folder with --cell")
        # Brings the compiler, which a cell that runs does not need.
        from cellwright.runtime.cli.compiling import compiled

        return compiled(stopped, data)
