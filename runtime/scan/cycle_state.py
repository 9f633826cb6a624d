"""What a scan carries from one cycle to the next: the one place where its parts name it.

The recorder saves it in keyframes and a replay goes on from it, so an attribute that says anything
about former cycles and is not named here makes replays differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from cellwright.tasks.api import Program


class CarriesState:
    """A part of the scan. ``CARRIED`` names the attributes that outlive a cycle."""

    CARRIED: ClassVar[tuple[str, ...]] = ()

    def carried(self) -> Any:
        """What the next cycle goes on from; nothing is copied. Between cycles only."""
        return {name: getattr(self, name) for name in self.CARRIED}

    def carry_on(self, carried: Any) -> None:
        """Go on from what the same part of another scan with this plan carried."""
        for name in self.CARRIED:
            setattr(self, name, carried[name])


@dataclass
class ScanState:
    """What a scan carries from one cycle to the next, beside its process image."""

    parts: dict[str, Any]
    """By the names of `cellwright.runtime.scan.cycle.Scan.parts`."""
    programs: list[Program[Any]]
    """Empty until the first start."""
    boot_id: str
    events_written: int


@dataclass(slots=True)
class CycleTime:
    """The cycle that is running; constant from its beginning to its end."""

    cycle: int = 0
    tick: int = 0
    now_ns: int = 0
    """Monotonic nanoseconds at its start."""
    scan_ns: int = 0
    """Scan time: ``now_ns`` less all the time spent in PAUSE. Programs count with it."""
    utc_ns: int = 0
    """Wall clock at its start, for records only."""
    durable: int = 0
    """Events of this image's scans that are in the journal."""
