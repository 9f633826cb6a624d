"""``cellwright user``: who may log in to the cell's OPC UA server.

Works on the users file that the cell's file names, whether the cell runs or not; the gateway of a
running one sees the change within a second. A cell with a MES takes each name over once: whoever is
in the file is then changed by `cellwright mes user`.
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from cellwright.io.files.located_yaml import read
from cellwright.io.files.problems import Problems, nearest
from cellwright.runtime.cli.common import FileArgument, cell_file, fail
from cellwright.runtime.cli.compiling import show_problems
from cellwright.runtime.config.sections.model import ROLES

app = typer.Typer(help="Users of the OPC UA server.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    """Add the group."""
    program.add_typer(app, name="user")


@app.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="User name.")],
    file: FileArgument = Path(),
    role: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(ROLES)}; may be repeated. Default: Operator."),
    ] = None,
    password_env: Annotated[
        str, typer.Option(help="Environment variable with the password. Default: prompt for it.")
    ] = "",
) -> None:
    """Add a user to the cell's users file, or change their password and roles."""
    from cellwright.opcua_model.errors import UsersError  # noqa: PLC0415 - brings asyncua
    from cellwright.opcua_model.security.users import add_user  # noqa: PLC0415

    users = _users_file(cell_file(file))
    for unknown in set(role or []) - set(ROLES):
        fail(f"'{unknown}' is not a role; {nearest(unknown, ROLES)}", 2)
    _leave_to_mes(cell_file(file), users, name, "")
    try:
        add_user(users, name, _password(name, password_env), role or ["Operator"])
    except (UsersError, OSError) as error:
        fail(str(error))
    typer.echo(f"{name}: {', '.join(role or ['Operator'])}")


@app.command("certificate")
def user_certificate(
    name: Annotated[str, typer.Argument(help="User name.")],
    certificate: Annotated[
        Path, typer.Argument(help="Their certificate, DER or PEM; never its key.")
    ],
    file: FileArgument = Path(),
) -> None:
    """Let a user log in with a certificate too, where the client has its key."""
    from cellwright.opcua_model.errors import CertificateError, UsersError  # noqa: PLC0415
    from cellwright.opcua_model.security.trust_list import certificates_of  # noqa: PLC0415
    from cellwright.opcua_model.security.user_tokens import fingerprint  # noqa: PLC0415
    from cellwright.opcua_model.security.users import add_certificate  # noqa: PLC0415

    users = _users_file(cell_file(file))
    try:
        print_ = fingerprint(certificates_of(certificate)[0])
        add_certificate(users, name, print_)
    except (CertificateError, UsersError) as error:
        fail(str(error))
    typer.echo(f"{name}: logs in with the certificate {print_[:12]}... too")


@app.command("list")
def user_list(file: FileArgument = Path()) -> None:
    """List the users in the cell's users file with their roles."""
    from cellwright.opcua_model.errors import UsersError  # noqa: PLC0415 - brings asyncua
    from cellwright.opcua_model.security.users import load_users  # noqa: PLC0415

    users = _users_file(cell_file(file))
    try:
        found = load_users(users)
    except UsersError as error:
        fail(str(error))
    if not found:
        typer.echo(f"{users} has no users; see 'cellwright user add --help'")
    for name, user in sorted(found.items()):
        typer.echo(f"{name}: {', '.join(sorted(user.roles))}")


@app.command("remove")
def user_remove(
    name: Annotated[str, typer.Argument(help="User name.")], file: FileArgument = Path()
) -> None:
    """Remove a user from the cell's users file."""
    from cellwright.opcua_model.errors import UsersError  # noqa: PLC0415 - brings asyncua
    from cellwright.opcua_model.security.users import remove_user  # noqa: PLC0415

    users = _users_file(cell_file(file))
    _leave_to_mes(cell_file(file), users, name, " --no-active")
    try:
        remove_user(users, name)
    except UsersError as error:
        fail(str(error))
    typer.echo(f"{name} was removed from {users.name}")


def _password(name: str, variable: str) -> str:
    """From the environment, or asked twice: what is typed does not show."""
    if variable:
        if variable not in os.environ:
            fail(f"the environment variable '{variable}' is not set; export it, or leave it out", 2)
        return os.environ[variable]
    password = getpass.getpass(f"password of {name}: ")
    if getpass.getpass("repeat the password: ") != password:
        fail("the two passwords differ; nothing was changed, try again")
    return password


def _leave_to_mes(file: Path, users: Path, name: str, words: str) -> None:
    """Refuse to change who was taken over into the MES: the file no longer says who they are."""
    from cellwright.opcua_model.errors import UsersError  # noqa: PLC0415 - brings asyncua
    from cellwright.opcua_model.security.users import load_users  # noqa: PLC0415

    root = read(file, Problems(str(file)))
    if root is None or "mes" not in root.entries:
        return
    data = root.section("cell").get("data")
    folder = "data" if data is None else str(data.node.value)
    try:
        known = name in load_users(users)
    except UsersError as error:
        fail(str(error))
    if known and (file.resolve().parent / folder).is_dir():
        fail(
            f"the MES of this cell has taken {name} over from {users.name}; "
            f"use `cellwright mes user change {name}{words}`"
        )


def _users_file(file: Path) -> Path:
    """The users file that the cell names. It need not exist: the first user makes it."""
    problems = Problems(str(file))
    root = read(file, problems)
    if root is None:
        show_problems(problems.ordered())
        raise typer.Exit(2)
    entry = root.section("opcua").get("users")
    if entry is None or not isinstance(entry.node.value, str) or not entry.node.value:
        fail(f"{file}: opcua has no users file; add 'users: users.yaml' to it", 2)
    return file.resolve().parent / entry.node.value
