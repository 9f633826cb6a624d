"""How far the MES has taken the journal: said by the gateway, heard by the journal process.

One small file in the data folder, so that the journal keeps its one writer. Losing it costs
nothing: the journal then keeps its rows longer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from cellwright.io.files.replace import replace_file

FILE: Final = "mes_position.json"
STEP: Final = 500
"""Events between two writings of the file."""


class Position(msgspec.Struct, frozen=True):
    """A place in one journal file."""

    journal: str
    """`JournalReader.identity`."""
    sequence: int


class Consumed:
    """The file, for its writer and for its reader."""

    def __init__(self, data: Path) -> None:
        self._file = data / FILE
        self._reported: Position | None = None

    def report(self, journal: str, sequence: int) -> None:
        """Note the position if it has moved far enough; a full disk is no reason to stop."""
        last = self._reported
        if last is not None and last.journal == journal and sequence < last.sequence + STEP:
            return
        position = Position(journal, sequence)
        try:
            replace_file(self._file, msgspec.json.encode(position))
        except OSError:
            return  # only keeps rows longer; the journal itself reports the disk
        self._reported = position

    def read(self, journal: str) -> int:
        """The position in that journal; 0 when it is not known."""
        try:
            position = msgspec.json.decode(self._file.read_bytes(), type=Position)
        except (OSError, msgspec.MsgspecError):
            return 0
        return position.sequence if position.journal == journal else 0
