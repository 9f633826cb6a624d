"""The files that a cell's file names, read as the gateway will read them: users and master data.

Called by ``cellwright check``, so that a mistake in them is found before the cell runs. It only
reads. The rooms that know the files are imported when a cell has them: one brings SQLAlchemy.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

from cellwright.io.files.problems import nearest
from cellwright.io.plan import Plan
from cellwright.runtime.config.sections.model import ROLES


def complaints(plan: Plan) -> list[str]:
    """A sentence for each thing that is wrong in those files, with the file's name."""
    found: list[str] = []
    if plan.opcua is not None and plan.opcua.users_file:
        found += _users(Path(plan.folder) / plan.opcua.users_file)
    if plan.master_data is not None:
        found += _master_data(Path(plan.master_data))
    return found


def _users(file: Path) -> list[str]:
    from cellwright.opcua_model.errors import UsersError
    from cellwright.opcua_model.security.users import load_users

    try:
        users = load_users(file)
    except UsersError as error:
        return [str(error)]
    return [
        f"{file}: user {user.name}: '{role}' is not a role; {nearest(role, ROLES)}"
        for user in users.values()
        for role in sorted(user.roles - set(ROLES))
    ]


def _master_data(file: Path) -> list[str]:
    from cellwright.mes.definitions.master_data import load_file
    from cellwright.mes.kernel.errors import MasterDataError

    try:
        load_file(file)
    except MasterDataError as error:
        return error.problems
    return []
