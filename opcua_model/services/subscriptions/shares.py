"""How much of the server one user may take: who gives no name gets less.

Counted when something is made, over all live sessions of the user; without a name, over the
session's own. A subscription that has no session any more counts for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass
from typing import Any, Final, Protocol

from asyncua import ua

from cellwright.opcua_model.security.access import CellUser
from cellwright.opcua_model.services import limits


@dataclass(frozen=True, slots=True)
class Share:
    """The most that a user may have."""

    subscriptions: int
    items: int


NAMED: Final = Share(limits.MAX_SUBSCRIPTIONS_PER_USER, limits.MAX_ITEMS_PER_USER)
NAMELESS: Final = Share(limits.MAX_SUBSCRIPTIONS_ANONYMOUS, limits.MAX_ITEMS_ANONYMOUS)


class _Session(Protocol):
    session_id: ua.NodeId
    user: Any


class _Subscription(Protocol):
    @property
    def items(self) -> Sized: ...


def left(
    session: _Session,
    sessions: Iterable[_Session],
    of_session: Callable[[ua.NodeId], dict[int, Any]],
) -> Share:
    """How many more subscriptions and items the session's user may have; 0 at the least."""
    user = session.user
    nameless = not isinstance(user, CellUser) or user.anonymous
    mine = [session] if nameless else [each for each in sessions if each.user.name == user.name]
    share = NAMELESS if nameless else NAMED
    held: list[_Subscription] = [
        subscription for each in mine for subscription in of_session(each.session_id).values()
    ]
    return Share(
        max(0, share.subscriptions - len(held)),
        max(0, share.items - sum(len(subscription.items) for subscription in held)),
    )
