"""What may be asked of the MES, declared once: an `Action` for each thing, with its three doors.

The rooms declare their actions in ``actions.py``; `service.catalogue` gathers them and the one
dispatcher runs them. REST routes, OPC UA methods, commands, permissions and ``openapi.json`` are
derived from the declarations. Requests and answers are msgspec structs: snake_case here, camelCase
outside; unknown fields are refused; the docstring under a field is its description everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from sqlalchemy.orm import Session

from cellwright.mes.kernel.domain_events import DomainEvent
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.scope import DEFAULT_SCOPE, Scope

MAX_LIMIT: Final = 1000
"""Most rows of one page."""


class Request(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Base of every request."""


class SignatureRequest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An electronic signature given with a request (21 CFR 11.200)."""

    username: str = ""
    """Who signs. May be left out by whoever has signed in this login in the last 15 minutes."""
    password: str
    """Never stored, logged or audited."""
    meaning: str
    """What it stands for: ``approval``, ``review``, ``responsibility`` or ``authorship``."""
    otp: str = ""
    """One-time code, for who has enrolled; not asked for where the name may be left out."""

    def __repr__(self) -> str:
        return f"SignatureRequest(username={self.username!r}, meaning={self.meaning!r})"


class Change(Request, frozen=True, kw_only=True):
    """Base of every request that changes something."""

    reason: str = ""
    """Why; goes into the audit."""
    version: int | None = None
    """Version of the entity that the change is meant for; another one is a conflict."""
    signature: SignatureRequest | None = None
    """Where the action demands one; one that is given is kept in any case."""


class PageRequest(Request, frozen=True, kw_only=True):
    """Base of every request for a list."""

    page: int = 1
    """From 1."""
    limit: int = 50
    """Rows of a page, 1 to 1000."""


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every answer."""


V = TypeVar("V")


class Page(msgspec.Struct, Generic[V], frozen=True, kw_only=True):
    """A part of a list, in an order that new rows do not disturb."""

    items: list[V]
    total: int
    """Rows of the whole list."""


class Nothing(View, frozen=True):
    """The answer of an action that has nothing to tell."""


class Access(StrEnum):
    """Instead of a permission."""

    PUBLIC = "public"
    """Anyone, without a login."""
    SIGNED_IN = "signed-in"
    """Anyone who is logged in."""
    ADMINISTRATOR = "administrator"
    """Users with the role Administrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as the door has proven it."""

    username: str
    """Goes into the audit as the actor."""
    user_id: int | None = None
    """Key of the user; None for the operating system's users and for the MES itself."""
    printed_name: str = ""
    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    scope: Scope = DEFAULT_SCOPE
    authentication: str = ""
    """See `origin.Origin`."""
    session: str = ""
    """Id of the login."""
    address: str = ""
    """Where the request came from."""


ANONYMOUS: Final = Caller(username="anonymous")


@dataclass(slots=True, kw_only=True)
class Context:
    """What an action runs in: one transaction, one caller, one moment."""

    session: Session
    caller: Caller
    at: datetime
    """The moment of the request by the store's clock."""
    reason: str = ""
    version: int | None = None
    """Version that the caller takes the entity to have; None: whatever it has."""
    correlation_id: str = ""
    signature: SignatureRequest | None = None

    @property
    def actor(self) -> str:
        """Name of the caller."""
        return self.caller.username

    def check_version(self, what: str, version: int) -> None:
        """Raises MesError ``stale_version`` when the caller has seen another version."""
        if self.version is not None and self.version != version:
            raise MesError(
                "stale_version",
                f"{what} is at version {version}, the request is for version {self.version}; "
                "read it again and repeat what you still want",
                [Detail("version", f"is {version} now")],
            )


class Sessions(Protocol):
    """What a store offers; `Store` and `BackgroundStore` do."""

    def session(self, scope: Scope | None = None) -> AbstractContextManager[Session]:
        """A transaction that may write."""

    def reading(self, scope: Scope | None = None) -> AbstractContextManager[Session]:
        """A snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a `Detached` action runs in."""

    store: Sessions
    caller: Caller
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """How REST offers the action. ``{fieldName}`` in the path is a field of the request."""

    method: str
    """GET, POST, PUT or DELETE; GET and DELETE take the other fields from the query."""
    path: str
    status: int = 200
    """Status of success."""


@dataclass(frozen=True, slots=True)
class OpcUa:
    """How OPC UA offers the action: a method below an object of the MES."""

    owner: str
    """Browse name of the object below ``MES``."""
    method: str
    """Browse name."""


@dataclass(frozen=True, slots=True)
class Command:
    """How the command line offers the action: ``cellwright mes GROUP NAME``."""

    group: str
    name: str
    arguments: tuple[str, ...] = ()
    """Fields given by position; the others are options."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The action does not have this door."""

    why: str


R = TypeVar("R", bound=Request)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Detached(Generic[R, A]):
    """A service that begins its own transactions.

    It works for long between them (a login must not hold the store while a password is hashed), or
    keeps something although it refuses. Its answer may be a secret, so that no answer is kept for
    an idempotency key.
    """

    call: Callable[[Outside, R], A]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(Generic[R, A]):
    """One thing that may be asked, see the module."""

    name: str
    """Dotted and stable: ``workorders.release``; the audit of refusals calls it so."""
    summary: str
    """One sentence in the imperative, for documents and help."""
    request: type[R]
    answer: Any
    """Type of the answer: a `View`, ``Page[View]`` or ``list[View]``."""
    permission: str | Access
    """``workorders.update``, or who else may."""
    entity: str
    """Kind of entity that it is about, as the audit has it: ``work_order``."""
    run: Callable[[Context, R], A] | Detached[R, A]
    """The service behind it; raises MesError and then has changed nothing."""
    rest: Rest | Closed
    opcua: OpcUa | Closed
    command: Command | Closed
    reads: bool = False
    """True: it changes nothing and runs in a snapshot."""
    secret: bool = False
    """True: its answer is kept nowhere, also not for an idempotency key."""
    signed: bool = False
    """True: it always demands an electronic signature. Others do where their site says so."""
    events: tuple[type[DomainEvent], ...] = ()
    """What it may publish."""
    entity_id: Callable[[R], str] = field(default=lambda _: "")
    """Which entity a refused request was about."""


Actions = Mapping[str, Action[Any, Any]]


def catalogue(*rooms: tuple[Action[Any, Any], ...]) -> Actions:
    """All actions by name. Raises ValueError when two have one name or one REST route."""
    found: dict[str, Action[Any, Any]] = {}
    routes: set[tuple[str, str]] = set()
    for action in (action for room in rooms for action in room):
        if action.name in found:
            raise ValueError(f"two actions are called {action.name}")
        found[action.name] = action
        if isinstance(action.rest, Rest):
            route = (action.rest.method, action.rest.path)
            if route in routes:
                raise ValueError(f"two actions answer {' '.join(route)}")
            routes.add(route)
    return found
