"""Quality of a value: the OPC UA status codes (OPC 10000-8, 6.3) that the image stores per tag."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

GOOD: Final = 0x0000_0000
GOOD_LOCAL_OVERRIDE: Final = 0x0096_0000
"""The value is forced."""

UNCERTAIN_LAST_USABLE: Final = 0x4090_0000
"""The device does not answer; the value is the last one that it gave (on_loss: hold)."""
UNCERTAIN_SUBSTITUTE: Final = 0x4091_0000
"""The device does not answer; the value is the declared substitute (on_loss: substitute)."""
UNCERTAIN_UNITS_EXCEEDED: Final = 0x4094_0000
"""The value lies outside the declared range of the sensor."""
UNCERTAIN_INITIAL: Final = 0x4092_0000
"""The value is the declared initial one; nothing has written it yet."""

BAD_ENCODING_ERROR: Final = 0x8006_0000
"""The device's encoding does not have a character of the text; the text was not sent."""
BAD_DECODING_ERROR: Final = 0x8007_0000
"""The bytes in the device are no text in its encoding, or one that is too long for the tag."""
BAD_NO_COMMUNICATION: Final = 0x8031_0000
"""The device does not answer (on_loss: fault)."""
BAD_WAITING_FOR_INITIAL_DATA: Final = 0x8032_0000
"""No value has been read since the start."""
BAD_DEVICE_FAILURE: Final = 0x808B_0000
"""The device answered with an error of its own."""
BAD_OUT_OF_SERVICE: Final = 0x808D_0000
"""The device is switched off by configuration or by an operator."""

_NAMES: Final = {
    value: name
    for name, value in list(globals().items())
    if name.isupper() and not name.startswith("_") and isinstance(value, int)
}


class TagStatus(NamedTuple):
    """What is known of a value beside the value itself."""

    quality: int
    """OPC UA status code."""
    source_utc_ns: int
    """Source timestamp: wall clock at the reading from the device, or at the last change;
    0 before there is a value. For records; it jumps with the clock."""
    age_ns: int | None
    """How old the value is in monotonic time; None before there is one. An input counts from its
    reading from the device, any other tag from its last change."""

    @property
    def good(self) -> bool:
        """The value is right."""
        return self.quality >> 30 == 0

    @property
    def bad(self) -> bool:
        """The value must not be used."""
        return self.quality >> 30 >= 2


def worst(statuses: Iterable[int]) -> int:
    """The worst by severity (Good, Uncertain, Bad), the first of equals; Good for none.

    Of Good ones a local override (a force) wins, so that it stays visible.
    """
    found = GOOD
    for status in statuses:
        if status >> 30 > found >> 30 or (found == GOOD and status >> 30 == 0):
            found = status
    return found


def is_good(status: int) -> bool:
    """True when the severity bits say Good (OPC 10000-4, 7.39)."""
    return status >> 30 == 0


def is_bad(status: int) -> bool:
    """True when the severity bits say Bad (OPC 10000-4, 7.39)."""
    return status >> 30 >= 2


def name(status: int) -> str:
    """``GOOD``, ``BAD_NO_COMMUNICATION``…, or the number in hexadecimal."""
    return _NAMES.get(status, f"0x{status:08X}")
