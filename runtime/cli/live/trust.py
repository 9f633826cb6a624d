"""``cellwright trust``: which clients may connect to the cell's OPC UA server.

Works on the folders of the trust list in the cell's data folder, whether the cell runs or not; the
gateway of a running one sees the change at the next connection, within a second for open ones.
"""

# ruff: noqa: PLC0415 - certificates bring asyncua and cryptography

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellwright.runtime.cli.common import DataOption, FileArgument, JsonOption, fail

if TYPE_CHECKING:
    from cellwright.opcua_model.security.trust_list import Entry, TrustList

app = typer.Typer(help="Clients that the OPC UA server trusts.", no_args_is_help=True)

ThumbprintArgument = Annotated[
    str, typer.Argument(metavar="THUMBPRINT", help="At least six of its first digits.")
]
SHOWN = 12
"""Digits of a thumbprint in the table."""


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(app, name="trust")


@app.command("list")
def trust_list(
    file: FileArgument = Path(), data: DataOption = None, as_json: JsonOption = False
) -> None:
    """List the certificates that are trusted, that complete chains, and that were refused."""
    with _opened(file, data) as trust:
        entries = trust.entries()
    if as_json:
        sys.stdout.write(json.dumps([_record(each) for each in entries], indent=2) + "\n")
        return
    if not entries:
        typer.echo(f"{trust.pki} holds no certificates of clients; see 'cellwright trust --help'")
        return
    from cellwright.runtime.cli.console import columns
    from cellwright.runtime.cli.views.folding import FoldedTable

    table = FoldedTable(("state", "thumbprint", "expires", "name", "application"), columns())
    rows = [
        (each.state, each.thumbprint[:SHOWN], f"{each.expires:%Y-%m-%d}", each.name, each.uri)
        for each in entries
    ]
    for line in table.lines(rows):
        typer.echo(line)


@app.command("add")
def trust_add(
    what: Annotated[
        str,
        typer.Argument(
            metavar="THUMBPRINT|FILE",
            help="A refused certificate by the first digits of its thumbprint, or a file with a "
            "certificate or a revocation list, DER or PEM.",
        ),
    ],
    file: FileArgument = Path(),
    data: DataOption = None,
    issuer: Annotated[
        bool,
        typer.Option(
            "--issuer", help="An authority that only completes chains; its clients are not trusted."
        ),
    ] = False,
) -> None:
    """Trust a client, or an authority and with it all its clients."""
    with _opened(file, data) as trust:
        if Path(what).is_file():
            names = trust.take(Path(what), "issuer" if issuer else "trusted")
        else:
            names = [_told(trust.move(what, "issuer" if issuer else "trusted"))]
    for name in names:
        typer.echo(f"{name}: {'completes chains' if issuer else 'trusted'}")


@app.command("reject")
def trust_reject(
    thumbprint: ThumbprintArgument, file: FileArgument = Path(), data: DataOption = None
) -> None:
    """Trust a client or an authority no more; open connections end within a second."""
    with _opened(file, data) as trust:
        typer.echo(f"{_told(trust.move(thumbprint, 'rejected'))}: rejected")


@app.command("remove")
def trust_remove(
    thumbprint: ThumbprintArgument, file: FileArgument = Path(), data: DataOption = None
) -> None:
    """Forget a certificate; its client is a stranger again."""
    with _opened(file, data) as trust:
        typer.echo(f"{_told(trust.remove(thumbprint))}: removed")


@contextmanager
def _opened(file: Path, data: Path | None) -> Iterator[TrustList]:
    """The trust list of that cell; what goes wrong with it ends the command."""
    from cellwright.opcua_model.errors import CertificateError
    from cellwright.opcua_model.security.trust_list import TrustList
    from cellwright.runtime.cli.compiling import compiled

    plan = compiled(file, data)
    if plan.opcua is None:
        fail(f"{plan.source} has no section opcua, so there is no server; add `opcua: {{}}`", 2)
    try:
        yield TrustList(Path(plan.data) / "pki")
    except (CertificateError, OSError) as error:
        fail(str(error))


def _told(entry: Entry) -> str:
    return f"{entry.name} ({entry.thumbprint[:SHOWN]})"


def _record(entry: Entry) -> dict[str, str]:
    return {
        "state": entry.state,
        "thumbprint": entry.thumbprint,
        "name": entry.name,
        "application": entry.uri,
        "expires": entry.expires.isoformat(),
        "file": str(entry.file),
    }
