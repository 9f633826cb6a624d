"""``cellwright tags export`` and ``tags import``: the tags of a cell's file as a list for a
spreadsheet. No cell needs to run, and one that runs is not changed.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cellwright.runtime.cli.common import FileArgument, cell_file, counted, fail

FileOption = Annotated[Path, typer.Option("--file", help="Cell file, or the folder that holds it.")]


def tags_export(
    file: FileArgument = Path(),
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write. Default: standard output.")
    ] = None,
    semicolon: Annotated[
        bool,
        typer.Option("--semicolon", help="Separate by ; as spreadsheets in many countries expect."),
    ] = False,
) -> None:
    """Write the tags of a cell file as a list (CSV) for a spreadsheet."""
    from cellwright.io.files.replace import replace_file
    from cellwright.runtime.cli.compiling import compiled
    from cellwright.runtime.tag_list.exporting import exported

    compiled(file)
    text, count = exported(cell_file(file), ";" if semicolon else ",")
    if to is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        return
    try:
        # With the mark by which spreadsheets know UTF-8.
        replace_file(to, b"\xef\xbb\xbf" + text.encode())
    except OSError as error:
        fail(f"cannot write {to}: {error.strerror}; name a file in a folder that can be written")
    typer.echo(f"wrote {to}: {counted(count, 'tag')}")


def tags_import(
    list_file: Annotated[Path, typer.Argument(metavar="LIST", help="List of tags (CSV).")],
    file: FileOption = Path(),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change and write nothing.")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Also delete tags that the list does not name.")
    ] = False,
    encoding: Annotated[
        str, typer.Option(help="Encoding of the list: utf-8, cp1252, latin-1 or utf-16.")
    ] = "utf-8",
) -> None:
    """Take a list of tags (CSV) into a cell file; its comments and order stay."""
    from cellwright.io.files.problems import nearest
    from cellwright.runtime.cli.compiling import show_problems
    from cellwright.runtime.tag_list.importing import weigh, write
    from cellwright.runtime.tag_list.sheet import ENCODINGS

    if encoding not in ENCODINGS:
        fail(f"--encoding: '{encoding}' is none; {nearest(encoding, ENCODINGS)}", 2)
    target = cell_file(file)
    try:
        outcome, before = weigh(target, list_file, delete=delete, encoding=encoding)
    except OSError as error:
        fail(f"cannot work on {target}: {error.strerror}; check its folder's rights and space")
    show_problems(outcome.problems)
    if not outcome.right:
        typer.echo(f"{counted(len(outcome.problems), 'problem')}; {target} is as it was", err=True)
        raise typer.Exit(2)
    for line in outcome.told:
        typer.echo(line)
    if outcome.told and not dry_run:
        try:
            write(target, outcome, before)
        except OSError as error:
            fail(f"{target} is as it was: {error.strerror or error}")
    kept = f", {outcome.only_in_file} only in the file" if outcome.only_in_file else ""
    gone = f", {outcome.deleted} deleted" if outcome.deleted else ""
    typer.echo(
        f"{target}: {outcome.added} added, {outcome.changed} changed, {outcome.same} as they were"
        f"{gone}{kept}" + ("; nothing was written (--dry-run)" if dry_run else "")
    )
