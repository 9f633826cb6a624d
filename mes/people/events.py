"""What happens to people that others must hear of at once."""

from __future__ import annotations

from typing import ClassVar

from cellwright.mes.kernel.domain_events import DomainEvent


class LoginEnded(DomainEvent, frozen=True, kw_only=True):
    """A login was ended: its tokens are void."""

    topic: ClassVar[str] = "login-ended"

    login: str
    """Its id; access tokens carry it as ``sid``."""


class UserChanged(DomainEvent, frozen=True, kw_only=True):
    """Roles, state or password of a user changed."""

    topic: ClassVar[str] = "user-changed"

    user_id: int
    username: str
