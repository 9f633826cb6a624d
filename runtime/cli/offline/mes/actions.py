"""Commands made of the MES's actions: ``cellwright mes workorder release WO-2026-000001``.

An action that declares a command gets one; its request's fields become arguments and options. The
MES is imported when such a command or the help of the group is asked for, and for no other.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

import msgspec
import typer
from typer.core import TyperGroup

from cellwright.io.files.sqlite_url import sqlite_file
from cellwright.runtime.cell.run_folder import run_command
from cellwright.runtime.cli.common import DataOption, JsonOption, actor, fail
from cellwright.runtime.cli.compiling import compiled
from cellwright.runtime.cli.console import columns
from cellwright.runtime.cli.views.folding import FoldedTable

if TYPE_CHECKING:
    from cellwright.mes.kernel.actions import Action
    from cellwright.mes.kernel.store import Store

FileOption = Annotated[Path, typer.Option("--file", help="Cell file, or the folder that holds it.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="CELLWRIGHT_DATABASE",
        help="SQLAlchemy URL of a database without a cell.",
    ),
]
SecretsOption = Annotated[
    Path | None, typer.Option("--secrets", help="Folder with the keys, beside --database.")
]
_HELP: Final = {
    "trail": "Search, prove and sign the audit trail.",
    "operation": "Start, report and complete operations of work orders.",
    "retention": "Delete what has been kept as long as its class says.",
    "signatures": "Show, verify and take back electronic signatures; say where they are demanded.",
    "part": "Parts and their engineering changes.",
    "user": "Users of the MES, over REST and OPC UA.",
    "workcenter": "Work centres and their rates.",
    "workorder": "Create, release, hold, complete and read work orders.",
}
_HIDDEN: Final = frozenset({"signature"})
"""Fields of requests that no option takes: a password does not belong on a command line."""
SignedByOption = Annotated[
    str | None,
    typer.Option("--signed-by", help="Sign it as this user; asks for the password."),
]
MeaningOption = Annotated[
    str, typer.Option("--meaning", help="What the signature stands for: approval, review, "
                                        "responsibility or authorship.")
]  # fmt: skip
CodeOption = Annotated[
    str, typer.Option("--code", help="One-time code, for a signer who has enrolled.")
]


@dataclass(frozen=True, slots=True)
class Where:
    """Which database a command works on: a cell's, or one without a cell."""

    file: Path
    data: Path | None
    database: str | None
    secrets: Path | None

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The store; what goes wrong ends with exit code 1."""
        if self.database is None:
            with opened(self.file, self.data) as store:
                yield store
        else:
            with _opened(self.database, self.secrets) as store:
                yield store


@contextmanager
def opened(file: Path, data: Path | None) -> Iterator[Store]:
    """The cell's MES store; what goes wrong ends with exit code 1."""
    plan = compiled(file, data)
    if plan.database is None:
        fail(f"{plan.source} has no mes section; add 'mes: {{database: ...}}'", 2)
    database = sqlite_file(plan.database)
    if database is not None and not database.parent.is_dir():
        fail(f"{plan.source} has no records yet; they begin with '{run_command(plan.source)}'")
    with _opened(plan.database, Path(plan.data) / "keys") as store:
        yield store


@contextmanager
def _opened(database: str, secrets: Path | None) -> Iterator[Store]:
    from cellwright.mes.kernel.errors import MesError
    from cellwright.mes.service.catalogue import open_store

    try:
        store = open_store(database, secrets=secrets)
        try:
            yield store
        finally:
            store.close()
    except MesError as error:
        fail(str(error))


class ActionGroup(TyperGroup):
    """The group ``mes``: its own commands, and a group for each kind of thing with actions."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Own commands first."""
        return [*super().list_commands(ctx), *sorted(_groups())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """An own command, or a group of actions."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        found = _groups().get(cmd_name)
        return None if found is None else _group(cmd_name, found)


def _groups() -> dict[str, list[Action[Any, Any]]]:
    from cellwright.mes.kernel.actions import Command
    from cellwright.mes.service.catalogue import ACTIONS

    found: dict[str, list[Action[Any, Any]]] = {}
    for action in ACTIONS.values():
        if isinstance(action.command, Command):
            found.setdefault(action.command.group, []).append(action)
    return found


def _group(name: str, actions: list[Action[Any, Any]]) -> Any:
    app = typer.Typer(name=name, help=_HELP.get(name, ""), no_args_is_help=True)
    for action in actions:
        _add(app, action)
    return typer.main.get_group(app)


def _add(app: typer.Typer, action: Action[Any, Any]) -> None:
    from cellwright.mes.kernel.actions import Command
    from cellwright.web.api.docstrings import docs_of

    door = action.command
    if not isinstance(door, Command):
        raise TypeError(f"{action.name} has no command")
    docs = docs_of(action.request)
    fields = {field.name: field for field in msgspec.structs.fields(action.request)}
    kinds = {name: _argument(docs.get(name, "")) for name in door.arguments}
    defaults: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in _HIDDEN and name not in kinds and _plain(field.type):
            kinds[name], defaults[name] = _option(field, docs.get(name, ""))
    kinds |= {
        "cell_file": FileOption,
        "data": DataOption,
        "database": DatabaseOption,
        "secrets": SecretsOption,
        "as_json": JsonOption,
    }
    defaults |= {
        "cell_file": Path(),
        "data": None,
        "database": None,
        "secrets": None,
        "as_json": False,
    }

    if _signable(action):
        kinds |= {"signed_by": SignedByOption, "meaning": MeaningOption, "code": CodeOption}
        defaults |= {"signed_by": None, "meaning": "approval", "code": ""}

    def run(**given: Any) -> None:
        where = Where(
            given.pop("cell_file"), given.pop("data"), given.pop("database"), given.pop("secrets")
        )
        if _signable(action):
            _add_signature(given)
        _run(action, where, given, as_json=given.pop("as_json"))

    run.__doc__ = action.summary
    run.__annotations__ = kinds
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads it
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=kind,
                default=defaults.get(name, inspect.Parameter.empty),
            )
            for name, kind in kinds.items()
        ]
    )
    app.command(door.name)(run)


def _signable(action: Action[Any, Any]) -> bool:
    """True for an action that keeps a signature which is given with it."""
    return "signature" in action.request.__struct_fields__ and not action.reads


def _add_signature(given: dict[str, Any]) -> None:
    """Make the options one signature. Both components each time: a command has no session."""
    username, meaning, code = given.pop("signed_by"), given.pop("meaning"), given.pop("code")
    if username is None:
        return
    password = typer.prompt(f"Password of {username}", hide_input=True, err=True)
    given["signature"] = {
        "username": username, "password": password, "meaning": meaning, "otp": code,
    }  # fmt: skip


def _kinds(kind: Any) -> list[Any]:
    """What the field may hold, but for nothing."""
    if get_origin(kind) in (dict, list):
        return [kind]
    return [each for each in (get_args(kind) or (kind,))
            if each not in (type(None), msgspec.UnsetType)]  # fmt: skip


def _plain(kind: Any) -> bool:
    """True for what one word on the command line can say."""
    return (
        list[str] in _kinds(kind)
        or kind == list[str]
        or (
            all(
                isinstance(each, type) and not issubclass(each, msgspec.Struct | dict | list)
                for each in _kinds(kind)
            )
            and get_origin(kind) not in (dict, list)
        )
    )


def _argument(text: str) -> Any:
    return Annotated[str, typer.Argument(help=text)]


def _option(field: msgspec.structs.FieldInfo, text: str) -> tuple[Any, Any]:
    """Type and usual value of the option for a field."""
    flag = f"--{field.name.replace('_', '-')}"
    (kind, *_) = _kinds(field.type)
    if field.name == "password" and field.required:
        hidden = typer.Option(flag, prompt=True, confirmation_prompt=True, hide_input=True)
        return Annotated[str, hidden], ...
    if kind == list[str]:
        return Annotated[
            list[str] | None, typer.Option(flag, help=f"{text} May be repeated.")
        ], None
    if kind is bool:
        option = typer.Option(f"{flag}/--no-{flag[2:]}", help=text)
        return Annotated[bool, option], bool(field.default)
    word = kind if issubclass(kind, Enum) else str
    return Annotated[word | None, typer.Option(flag, help=text)], None


def _run(action: Action[Any, Any], where: Where, given: dict[str, Any], *, as_json: bool) -> None:
    from cellwright.mes.kernel.errors import MesError
    from cellwright.mes.service.at_the_machine import machine_caller
    from cellwright.mes.service.dispatcher import Dispatcher
    from cellwright.mes.service.refused_calls import recorder

    named = {_camel(name): value for name, value in given.items() if value is not None}
    try:
        request = msgspec.convert(named, action.request, strict=False)
    except msgspec.ValidationError as error:
        fail(f"{action.name}: {error}", 2)
    with where.opened() as store:
        try:
            answer = (
                Dispatcher(store, on_refusal=recorder())
                .call(action, request, machine_caller(actor()))
                .answer
            )
        except MesError as error:
            fail(error.message)
    _show(msgspec.to_builtins(answer, str_keys=True), as_json=as_json)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _show(answer: Any, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    rows = answer.get("items") if isinstance(answer, dict) else answer
    if isinstance(rows, list):
        _show_rows(rows)
        return
    width = max((len(key) for key in answer), default=0)
    answer = {key: _joined(value) for key, value in answer.items()}
    for key, value in answer.items():
        if not isinstance(value, list):
            typer.echo(f"{key:<{width}}  {_text(value)}".rstrip())
    for key, value in answer.items():
        if isinstance(value, list) and value:
            typer.echo(f"\n{key}")
            _show_rows(value)


def _show_rows(rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo("there are none")
        return
    rows = [{key: _joined(value) for key, value in row.items()} for row in rows]
    keys = [key for key, value in rows[0].items() if not isinstance(value, list | dict)]
    table = FoldedTable(tuple(keys), columns())
    for line in table.lines([_text(row[key]) for key in keys] for row in rows):
        typer.echo(line)


def _joined(value: Any) -> Any:
    """A list of words as one text."""
    plain = isinstance(value, list) and not any(isinstance(each, dict | list) for each in value)
    return ", ".join(map(str, value)) if plain else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
