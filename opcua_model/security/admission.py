"""Who may be here: places for connections and sessions, and bytes of those who are not proven.

A crowd of strangers must not keep anybody out: when there is no place for one more unproven
connection, one of the crowd's gives way, not the newcomer. It decides; closing is done by what each
guest brought for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAX_UNPROVEN: Final = 100
"""Connections without an activated session."""
MAX_UNPROVEN_BYTES: Final = 8 * 1024 * 1024
"""What all of them together may make the server hold of messages not yet whole, or not served."""
UNPROVEN_BYTES: Final = 256 * 1024
"""The same, one of them."""
MAX_ANONYMOUS_BYTES: Final = 32 * 1024 * 1024
"""The same, all who have a session without a user."""
SMALL_BYTES: Final = 64 * 1024
"""One that holds no more is not looked at: all together stay within the bounds above."""
FEW: Final = 4
"""An address with no more connections or sessions than this is not a crowd."""
MAX_ANONYMOUS: Final = 70
"""Sessions without a user; the others of all sessions are kept for named users."""
MAX_ANONYMOUS_OF_CROWDS: Final = 50
"""The same, of addresses that have more than `FEW`; the rest is for those that have few."""


class Stage(IntEnum):
    """How far a connection has come."""

    UNPROVEN = 0
    TRUSTED = 1
    """It has a channel, opened with a certificate that was accepted."""
    ANONYMOUS = 2
    """It has an activated session without a user."""
    NAMED = 3


@dataclass(eq=False, slots=True)
class Guest:
    """One connection."""

    address: str
    stage: Callable[[], Stage]
    end: Callable[[str], None]
    """Closes it at once, for this reason."""
    held: int = 0
    """Bytes that it makes the server hold."""


class Admission:
    """The connections of one server, in the order in which they came."""

    def __init__(self) -> None:
        self._guests: dict[Guest, None] = {}

    def __len__(self) -> int:
        return len(self._guests)

    @property
    def unproven_bytes(self) -> int:
        """What those without an activated session make the server hold."""
        return sum(guest.held for guest in self._below(Stage.ANONYMOUS))

    def enter(self, guest: Guest) -> None:
        """A connection was made; another one may have to give way to it."""
        unproven = self._below(Stage.ANONYMOUS)
        if len(unproven) >= MAX_UNPROVEN:
            self._end(_least_wanted(unproven), "its place was needed")
        self._guests[guest] = None

    def leave(self, guest: Guest) -> None:
        """A connection is gone."""
        self._guests.pop(guest, None)

    def hold(self, guest: Guest, size: int) -> None:
        """A connection makes the server hold so many bytes; whoever holds too many is closed."""
        grown, guest.held = size > guest.held, size
        if not grown or size <= SMALL_BYTES:
            return
        stage = guest.stage()
        if stage < Stage.ANONYMOUS:
            most, others = MAX_UNPROVEN_BYTES, self._below(Stage.ANONYMOUS)
            if size > UNPROVEN_BYTES:
                self._end(guest, f"it sent {size} bytes before it had a session")
                return
        elif stage is Stage.ANONYMOUS:
            most = MAX_ANONYMOUS_BYTES
            others = [each for each in self._guests if each.stage() is stage]
        else:
            return
        if sum(each.held for each in others) > most:
            self._end(max(others, key=lambda each: each.held), "too many bytes wait to be served")

    def _below(self, stage: Stage) -> list[Guest]:
        return [guest for guest in self._guests if guest.stage() < stage]

    def _end(self, guest: Guest, why: str) -> None:
        self._guests.pop(guest, None)
        guest.held = 0
        guest.end(why)


def _least_wanted(guests: list[Guest]) -> Guest:
    """Of the address with most of them the oldest, one without a trusted channel first."""
    crowd, number = Counter(guest.address for guest in guests).most_common(1)[0]
    if number > FEW:
        guests = [guest for guest in guests if guest.address == crowd]
    return min(guests, key=lambda guest: guest.stage())


def may_be_anonymous(address: str, others: Iterable[str]) -> bool:
    """Whether there is a place for one more session without a user from that address.

    ``others`` are the addresses of all such sessions.
    """
    sessions = Counter(others)
    of_crowd = sessions[address] >= FEW
    return sessions.total() < (MAX_ANONYMOUS_OF_CROWDS if of_crowd else MAX_ANONYMOUS)
