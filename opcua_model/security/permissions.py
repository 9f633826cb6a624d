"""Which role may do what with a node: the attributes RolePermissions and UserRolePermissions.

Made of what decides when the service is called: the ``write`` roles of a tag, the roles of a
method, whether anonymous reading is on (OPC 10000-3, 5.2.9 to 5.2.11 and 8.55; OPC 10000-18).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from asyncua import ua

from cellwright.opcua_model.address_space.ids import cell_id, standard
from cellwright.opcua_model.security.access import AUDITORS, CellUser

_O = ua.ObjectIds
_P = ua.PermissionType
ANONYMOUS: Final = "Anonymous"
AUTHENTICATED: Final = "AuthenticatedUser"
WELL_KNOWN: Final = {
    ANONYMOUS: standard(_O.WellKnownRole_Anonymous),
    AUTHENTICATED: standard(_O.WellKnownRole_AuthenticatedUser),
    "Observer": standard(_O.WellKnownRole_Observer),
    "Operator": standard(_O.WellKnownRole_Operator),
    "Engineer": standard(_O.WellKnownRole_Engineer),
    "Supervisor": standard(_O.WellKnownRole_Supervisor),
    "Admin": standard(_O.WellKnownRole_SecurityAdmin),
}
"""Roles that the standard has a node for (OPC 10000-18, 4.3); the others have one of the cell."""
_LOOK: Final = _P.Browse | _P.Read | _P.ReceiveEvents


class Permissions:
    """The permissions on the nodes of one cell."""

    def __init__(self, cell: str, roles: Iterable[str], *, anonymous: bool) -> None:
        """``roles`` are all names that users may have; ``anonymous``: without one, too."""
        self.roles = tuple(dict.fromkeys((*WELL_KNOWN, *sorted(roles))))
        self._ids = {
            name: WELL_KNOWN.get(name) or cell_id(f"{cell}.Roles.{name}") for name in self.roles
        }
        self._names = {node_id: name for name, node_id in self._ids.items()}
        self._anonymous = anonymous

    def role_id(self, name: str) -> ua.NodeId:
        """The node of a role."""
        return self._ids[name]

    def on(
        self, *, write: Iterable[str] = (), call: Iterable[str] | None = None, secret: bool = False
    ) -> list[ua.RolePermissionType]:
        """Of every role that has any, on a node.

        ``write`` and ``call`` are names of roles; an empty ``call`` is everybody, None no method.
        ``secret``: only auditors see it.
        """
        granted = {} if secret else {name: int(_LOOK) for name in self._everybody()}
        for name in write:
            granted[name] = granted.get(name, 0) | _LOOK | _P.Write
        if call is not None:
            callers = list(call) or list(self._everybody())
            for name in callers:
                granted[name] = granted.get(name, int(_LOOK)) | _P.Call
        for name in AUDITORS:
            granted[name] = granted.get(name, 0) | _LOOK | _P.ReadRolePermissions
        return [
            ua.RolePermissionType(self._ids[name], ua.PermissionType(bits))
            for name, bits in granted.items()
            if name in self._ids
        ]

    def of_user(
        self, user: CellUser, everyone: list[ua.RolePermissionType]
    ) -> list[ua.RolePermissionType]:
        """Those of the roles that the user has."""
        mine = {ANONYMOUS} if user.anonymous else {AUTHENTICATED, *user.roles}
        return [each for each in everyone if self._names[each.RoleId] in mine]

    def _everybody(self) -> Iterator[str]:
        if self._anonymous:
            yield ANONYMOUS
        yield AUTHENTICATED
