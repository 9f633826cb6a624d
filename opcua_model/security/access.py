"""Who may do what: the user of a session, the roles that each method asks for, the service rules.

Consulted by the session, the method service and the write path. Tags carry their own roles in the
plan; everything that is not a tag is read-only for every client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole

from cellwright.opcua_model.address_space.ids import standard

CREATE_ORDERS: Final = frozenset({"Admin", "Planner"})
"""Roles with C on work orders (role table of the jet-engine MES)."""
CHANGE_ORDERS: Final = frozenset({"Admin", "Manager", "Supervisor", "Planner", "Operator"})
"""Roles with U on work orders (the same table)."""
CONTROL_CELL: Final = frozenset({"Admin", "Supervisor", "Operator"})
"""Roles that may start, pause, stop and reset the cell, as far as its keyswitch lets them."""
AUDITORS: Final = frozenset({"Admin"})
"""Roles that are told who connects, writes and calls."""
ANYONE: Final = frozenset[str]()
"""For methods that only read: any session, anonymous included."""


@dataclass
class CellUser(User):
    """The user of a session as asyncua wants it, with the roles of the user file."""

    roles: frozenset[str] = frozenset()

    @property
    def anonymous(self) -> bool:
        """True for a session without a user name."""
        return self.name is None

    def may(self, roles: frozenset[str]) -> bool:
        """True when the user has one of the roles; an empty set of roles is open to anyone."""
        return not roles or not self.roles.isdisjoint(roles)


ANONYMOUS: Final = CellUser(UserRole.Anonymous)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who stands behind a request; lands in the audit."""

    user: CellUser
    session_id: str
    session_name: str
    encrypted: bool = False
    """True: nobody on the way could read what the client sent."""

    @property
    def actor(self) -> str:
        """User name, or ``anonymous``."""
        return self.user.name or "anonymous"


SERVICES: Final = frozenset(
    standard(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))
    for name in (
        "CloseSession",
        "ActivateSession",
        "Read",
        "Write",
        "Browse",
        "BrowseNext",
        "TranslateBrowsePathsToNodeIds",
        "RegisterNodes",
        "UnregisterNodes",
        "CreateSubscription",
        "ModifySubscription",
        "DeleteSubscriptions",
        "TransferSubscriptions",
        "CreateMonitoredItems",
        "ModifyMonitoredItems",
        "DeleteMonitoredItems",
        "SetMonitoringMode",
        "SetTriggering",
        "SetPublishingMode",
        "Publish",
        "Republish",
        "Call",
        "HistoryRead",
        "HistoryUpdate",
    )
)


class ServiceRules(SimpleRoleRuleset):
    """The services that a session may use at all; nobody changes the address space from outside.

    Writes and method calls pass here and are decided one by one, so that a client learns which
    of them was refused.
    """

    def __init__(self) -> None:
        parent: Any = super()
        parent.__init__()

    def check_validity(self, user: Any, action_type: ua.NodeId, body: Any) -> bool:
        """False refuses the request with Bad_UserAccessDenied."""
        return action_type in SERVICES
