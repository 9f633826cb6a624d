"""Who may try a password: failures count by name and place together, and the wait grows.

A name alone is never locked for everybody, or whoever reaches the port could keep its owner out. It
decides and remembers; it neither waits nor looks at a password. Nothing of it outlives the process.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cellwright.io.timing.clock import Clock

LOCK_AFTER: Final = 5
"""Failures in a row of one name from one address, or with one client certificate."""
LOCK_ADDRESS_AFTER: Final = 30
"""Failures from one address under all names."""
LOCK_NAME_AFTER: Final = 50
"""Failures of one name from everywhere; it then gets in only from where it got in before."""
LOCK_NS: Final = 30_000_000_000
"""The first lock; each further failure after it doubles the next."""
LONGEST_LOCK_NS: Final = 1_800_000_000_000
"""Half an hour."""
FORGET_NS: Final = 3_600_000_000_000
"""A counter is forgotten when it has been quiet for so long: an hour."""
REMEMBERED: Final = 10_000
"""Counters, and places where somebody got in; the oldest give way."""


class Place(NamedTuple):
    """Where a login comes from."""

    address: str = ""
    """IP address as text; of IPv6 the network that one customer has (/64) counts."""
    certificate: str = ""
    """Thumbprint of the client's certificate, whose key the client has proven to hold."""


@dataclass(slots=True)
class _Failures:
    count: int
    last_ns: int


class LockOut:
    """Counts failures and tells who has to wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()
        self._places: OrderedDict[Hashable, None] = OrderedDict()

    def known(self, name: str, place: Place) -> bool:
        """True when that name got in from that address or with that certificate before."""
        return self._by_certificate(name, place) or self._by_address(name, place)

    def locked(self, name: str, place: Place) -> bool:
        """True while a login is to be refused without a look at the password."""
        address = _network(place.address)
        if self._by_certificate(name, place):
            return self._waits(("certificate", name, place.certificate), LOCK_AFTER)
        if self._waits(("pair", name, address), LOCK_AFTER):
            return True
        if self._waits(("address", address), LOCK_ADDRESS_AFTER):
            return True
        return not self._by_address(name, place) and self._waits(("name", name), LOCK_NAME_AFTER)

    def failed(self, name: str, place: Place) -> None:
        """A password was wrong, or the name is nobody's."""
        now_ns = self._clock.now_ns()
        address = _network(place.address)
        keys: list[Hashable] = [("pair", name, address), ("address", address), ("name", name)]
        if self._by_certificate(name, place):
            keys.append(("certificate", name, place.certificate))
        for key in keys:
            failures = self._failures.pop(key, None)
            if failures is None or now_ns - failures.last_ns >= FORGET_NS:
                failures = _Failures(0, now_ns)
            failures.count += 1
            failures.last_ns = now_ns
            self._failures[key] = failures
        while len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, place: Place) -> None:
        """The password was right: what this name did wrong from there is forgotten."""
        address = _network(place.address)
        self._failures.pop(("pair", name, address), None)
        self._failures.pop(("certificate", name, place.certificate), None)
        keys: list[Hashable] = [("address", name, address)]
        if place.certificate:
            keys.append(("certificate", name, place.certificate))
        for key in keys:
            self._places.pop(key, None)
            self._places[key] = None
        while len(self._places) > REMEMBERED:
            self._places.popitem(last=False)

    def _by_certificate(self, name: str, place: Place) -> bool:
        return bool(place.certificate) and ("certificate", name, place.certificate) in self._places

    def _by_address(self, name: str, place: Place) -> bool:
        return ("address", name, _network(place.address)) in self._places

    def _waits(self, key: Hashable, after: int) -> bool:
        failures = self._failures.get(key)
        if failures is None or failures.count < after:
            return False
        doublings = min(failures.count - after, 16)
        lock_ns = min(LOCK_NS << doublings, LONGEST_LOCK_NS)
        return self._clock.now_ns() - failures.last_ns < lock_ns


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
