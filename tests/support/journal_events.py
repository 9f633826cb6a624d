"""Events and records for tests of the journal."""

from __future__ import annotations

from cellwright.io.messages import (
    PartArrived,
)

BOOT = "0123abcd"


def arrived(number: int, task: str = "sequence") -> PartArrived:
    return PartArrived(task=task, utc_ns=number, part_id=f"{BOOT}-{number}")
