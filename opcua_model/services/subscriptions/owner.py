"""What monitored items need of the subscription that they belong to."""

from __future__ import annotations

from typing import Any, Protocol

from asyncua import ua


class Owner(Protocol):
    """A subscription, as its items see it."""

    data: ua.CreateSubscriptionResult
    publish_due_ns: int
    """When it publishes next, monotonic."""

    def pend(self, item: Any) -> None:
        """An item has something to report."""

    def let_go(self, item: Any) -> None:
        """An item is gone, and with it what it had to report."""

    def pend_events(self, item: Any) -> None:
        """An event item has something to report."""

    def let_go_events(self, item: Any) -> None:
        """An event item is gone, and with it what it had to report."""

    def fire(self, identifier: int) -> None:
        """A triggering item has changed."""

    def wake(self) -> None:
        """Something is due at another time than before."""
