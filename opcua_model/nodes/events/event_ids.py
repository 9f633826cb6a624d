"""EventIds: an event of the journal has the same one for ever, whoever asks and after a restart."""

from __future__ import annotations

import struct
from typing import Final

_LAYOUT: Final = struct.Struct(">8sQ")


class EventIds:
    """Makes EventIds of one journal: 16 bytes, its identity and the row's sequence."""

    def __init__(self, journal: str) -> None:
        """``journal`` is its identity: 16 hexadecimal digits."""
        self._identity = bytes.fromhex(journal)[:8]

    def of(self, sequence: int) -> bytes:
        """The EventId of a row."""
        return _LAYOUT.pack(self._identity, sequence)
