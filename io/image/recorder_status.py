"""What the flight recorder says about itself in the image, and how large its ring is.

The scan writes the one record, the recorder process the other; the command line shows both.
"""

from __future__ import annotations

from typing import Final

from cellwright.io.image.areas import Int64, Record, Text
from cellwright.io.image.snapshot_reader import BlockLayout
from cellwright.io.plan import Plan

_SMALLEST_RING: Final = 1 << 21
_BLOCKS: Final = 32


def ring_capacity(plan: Plan) -> int:
    """Bytes of the recorder's ring: seconds of a small cell, 32 full images of a large one."""
    return max(_SMALLEST_RING, 1 << (_BLOCKS * BlockLayout(plan).size - 1).bit_length())


class RecordedStatus(Record):
    """Written by the scan process only."""

    recorded = Int64()
    """Cycles put on the ring since the scan process started."""
    dropped = Int64()
    """Cycles that are not recorded because the ring was full or the record too long."""
    keyframes = Int64()
    obstacle = Text(200)
    """Why a replay can begin at a start of RUN only; empty when it can begin anywhere."""


class RecorderStatus(Record):
    """Written by the recorder process only."""

    wanted = Int64()
    """Changed to ask the scan for a keyframe."""
    missed = Int64()
    """Cycles that reached this process and are in no file."""
    rolling_bytes = Int64()
    kept_files = Int64()
    kept_bytes = Int64()
    newest = Text(200)
    """File that was kept last."""
    error = Text(200)
    """What is wrong with the disk; empty when all is well."""
