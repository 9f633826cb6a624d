"""The commands ``cellwright ua ...``: options, and what runs behind each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from asyncua import Client

from cellwright.io.plan import Plan
from cellwright.runtime.cli.common import (
    NUMBERS_MAY_BE_NEGATIVE,
    CellOption,
    JsonOption,
    ValueArgument,
    fail,
)
from cellwright.runtime.cli.live.ua import history as past
from cellwright.runtime.cli.live.ua import nodes, places, streams
from cellwright.runtime.cli.live.ua.connection import Connect, connected
from cellwright.runtime.cli.running import attached

app = typer.Typer(no_args_is_help=True, help="A client for the cell's OPC UA server, or any other.")

UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Server, opc.tcp://host:port. Default: the running cell's."),
]
UserOption = Annotated[str | None, typer.Option("--user", "-u", help="Log in as this user.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option("--password-file", help="File with the password. Default: it is asked for."),
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Connect without signing and encryption.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust-new", help="Take another certificate of the server for good.")
]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for an answer.")]
NodeArgument = Annotated[
    str, typer.Argument(help="NodeId, path like /Objects/IO, or a tag of the cell.")
]
NodesArgument = Annotated[
    list[str], typer.Argument(help="NodeIds, paths like /Objects/IO, or tags of the cell.")
]
CountOption = Annotated[int, typer.Option("--count", min=0, help="End after so many; 0: never.")]

Act = Callable[..., Awaitable[None]]
"""Given the client, the cell's plan (None for another server) and the command's own options."""
_CONNECTION: Final[dict[str, tuple[Any, Any]]] = {
    "url": (UrlOption, None),
    "cell": (CellOption, None),
    "user": (UserOption, None),
    "password_file": (PasswordFileOption, None),
    "insecure": (InsecureOption, False),
    "trust_new": (TrustOption, False),
    "timeout": (TimeoutOption, 5.0),
}
"""Options of every command, with their usual values."""


def register(top: typer.Typer) -> None:
    """Add the group."""
    top.add_typer(app, name="ua")


def _command(**settings: Any) -> Callable[[Act], Act]:
    """A command that works on a session: its own parameters, and those of the connection."""

    def add(act: Act) -> Act:
        own = list(inspect.signature(act, eval_str=True).parameters.values())[2:]

        def run(**given: Any) -> None:
            connection = {name: given.pop(name) for name in _CONNECTION}
            _run(lambda client, plan: act(client, plan, **given), **connection)

        kinds = {each.name: each.annotation for each in own}
        kinds |= {name: kind for name, (kind, _) in _CONNECTION.items()}
        defaults = {each.name: each.default for each in own}
        defaults |= {name: usual for name, (_, usual) in _CONNECTION.items()}
        run.__doc__, run.__annotations__ = act.__doc__, kinds
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads it
            [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=kind,
                    default=defaults[name],
                )
                for name, kind in kinds.items()
            ]
        )
        app.command(act.__name__, **settings)(run)
        return act

    return add


def _run(act: Act, *, url: str | None, cell: str | None, **more: Any) -> None:
    plan = None
    if url is None:
        with attached(cell) as (plan, _):
            if plan.opcua is None:
                fail(f"{plan.source} has no opcua section; give another server with --url")
            url = _reachable(plan.opcua.endpoint)
    if urlsplit(url).scheme != "opc.tcp":
        fail(f"{url}: an OPC UA server has an address like opc.tcp://host:4840", 2)
    how = Connect(
        url,
        more["user"],
        _password(more["user"], more["password_file"]),
        more["insecure"],
        more["trust_new"],
        more["timeout"],
    )

    async def session() -> None:
        async with connected(how) as client:
            await act(client, plan)

    with suppress(KeyboardInterrupt):
        asyncio.run(session())


def _reachable(endpoint: str) -> str:
    """An address of this computer for one that says all of them."""
    for anywhere in ("//0.0.0.0", "//[::]"):
        endpoint = endpoint.replace(anywhere, "//127.0.0.1")
    return endpoint


def _password(user: str | None, file: Path | None) -> str:
    if user is None:
        return ""
    if file is None:
        return str(typer.prompt(f"Password of {user}", hide_input=True))
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", 2)


@_command()
async def browse(
    client: Client,
    plan: Plan | None,
    node: NodeArgument = "/Objects",
    depth: Annotated[int, typer.Option("--depth", "-d", min=1, help="Levels below it.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Show what is below a node, with values."""
    start = await places.found(client, node, plan)
    await nodes.browse(client, start, depth, as_json=as_json)


@_command()
async def read(
    client: Client, plan: Plan | None, node: NodesArgument, as_json: JsonOption = False
) -> None:
    """Read values, with type, status and times; exit code 1 when one is Bad."""
    found = [(each, await places.found(client, each, plan)) for each in node]
    await nodes.read(client, found, as_json=as_json)


@_command(context_settings=NUMBERS_MAY_BE_NEGATIVE)
async def write(
    client: Client, plan: Plan | None, node: NodeArgument, value: ValueArgument
) -> None:
    """Write a value of the node's own type."""
    await nodes.write(await places.found(client, node, plan), node, value)


@_command(context_settings=NUMBERS_MAY_BE_NEGATIVE)
async def call(
    client: Client,
    plan: Plan | None,
    method: Annotated[str, typer.Argument(help="NodeId or path of the method.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments, in order.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Call a method and show what it gives back."""
    found = await places.found(client, method, plan)
    await nodes.call(client, found, method, arguments or [], as_json=as_json)


@_command()
async def watch(
    client: Client,
    plan: Plan | None,
    node: NodesArgument,
    *,
    interval: Annotated[float, typer.Option("--interval", min=1, help="Milliseconds.")] = 200.0,
    count: CountOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Show each change of values until interrupted."""
    found = [(each, await places.found(client, each, plan)) for each in node]
    await streams.watch(client, found, interval, count, as_json=as_json)


@_command()
async def events(
    client: Client,
    plan: Plan | None,
    node: NodeArgument = "i=2253",
    *,
    severity: Annotated[int, typer.Option("--severity", min=1, max=1000, help="At least.")] = 1,
    count: CountOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Show events and alarms as they come, until interrupted. Default: all of the server."""
    found = await places.found(client, node, plan)
    await streams.events(client, found, severity, count, as_json=as_json)


@_command()
async def history(
    client: Client,
    plan: Plan | None,
    node: NodeArgument,
    *,
    start: Annotated[
        str | None, typer.Option("--from", help="Local time, 2026-11-30T14:00. Default: an hour.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Default: now.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most; 0: all.")] = 0,
    aggregate: Annotated[
        str | None, typer.Option("--aggregate", help="Average, Minimum, Maximum, Count, ...")
    ] = None,
    interval: Annotated[float, typer.Option("--interval", min=0.001, help="Its seconds.")] = 60.0,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
) -> None:
    """Show values that the server has kept, or aggregates of them."""
    span = past.span_of(start, end, datetime.now(UTC))
    found = await places.found(client, node, plan)
    wanted = None if aggregate is None else (aggregate, interval)
    await past.history(client, found, span, limit, aggregate=wanted, as_csv=as_csv)
