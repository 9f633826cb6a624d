"""Who works on the MES from the command line of the machine that holds its database.

The operating system has let that person in, and who may write the database may do anything to it;
the audit says that he came this way.
"""

from __future__ import annotations

from typing import Final

from cellwright.mes.kernel.actions import Caller
from cellwright.mes.service.catalogue import ACTIONS
from cellwright.mes.service.dispatcher import ADMINISTRATOR

_ALL: Final = frozenset(str(action.permission) for action in ACTIONS.values())


def machine_caller(username: str) -> Caller:
    """The caller of a command; ``username`` is the operating system's."""
    return Caller(
        username=username,
        printed_name=username,
        roles=frozenset({ADMINISTRATOR}),
        permissions=_ALL,
        authentication="operating-system",
    )
