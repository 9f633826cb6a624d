"""What one room tells the rooms above it, in the same transaction.

A service publishes that something happened (`OrderReleased`); rooms above have subscribed and do
their part at once, in the same session, or raise MesError, and then nothing has happened. A service
may also ask what only rooms above know (`OpenInspections`). The wiring is one immutable
`Subscriptions` that the store hands to its sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, TypeVar, cast

import msgspec
from sqlalchemy.orm import Session

SUBSCRIPTIONS_KEY: Final = "cellwright_subscriptions"
"""Key of the subscriptions in `Session.info`."""
_PUBLISHED_KEY: Final = "cellwright_published"


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an entity of the MES.

    A subclass names itself by ``topic`` as the outside world knows it (``work-order-released``).
    """

    topic: ClassVar[str]


A = TypeVar("A")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a room below must know and only rooms above can answer."""


Subscriber = Callable[[Session, Any], Any]
Subscriptions = Mapping[type[DomainEvent] | type[Question], tuple[Subscriber, ...]]
"""Who is told what, in this order."""


def publish(session: Session, event: DomainEvent) -> None:
    """Tell every subscriber; what they raise ends the caller's transaction."""
    for subscriber in _subscribers(session, type(event)):
        subscriber(session, event)
    session.info.setdefault(_PUBLISHED_KEY, []).append(event)


def ask(session: Session, question: Question) -> list[Any]:
    """The answers of all rooms that know one; empty when no room does."""
    return [answer(session, question) for answer in _subscribers(session, type(question))]


def published(session: Session) -> tuple[DomainEvent, ...]:
    """What was published in this session so far, in order; for those who tell the world outside."""
    return tuple(session.info.get(_PUBLISHED_KEY, ()))


def _subscribers(
    session: Session, kind: type[DomainEvent] | type[Question]
) -> tuple[Subscriber, ...]:
    return cast(Subscriptions, session.info.get(SUBSCRIPTIONS_KEY, {})).get(kind, ())
