"""What the flight recorder keeps and when, as the plan carries it. The recorder process obeys it.

The values here are those of a cell whose file says nothing; nothing else may have other ones.
"""

from __future__ import annotations

import msgspec

from cellwright.io.plan.conditions import Step


class RecorderTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on tags that keeps a recording when it becomes true."""

    name: str
    text: str
    """The condition as it was written."""
    when: tuple[Step, ...]
    reads: tuple[int, ...]
    """Tags whose value counts: while one of them is Bad, the condition is not asked."""


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds and causes. Times are of the scan's clock."""

    window_ns: int = 60_000_000_000
    """What a recording holds of the time before its cause, at least (a keyframe more at most)."""
    after_ns: int = 5_000_000_000
    """What it holds of the time after."""
    buffer_bytes: int = 256 << 20
    """The window gets shorter when it would take more."""
    keep_bytes: int = 1 << 30
    """Of all recordings together. Those about skipped ticks go first, then the oldest."""
    files: int = 16
    pause_ns: int = 30_000_000_000
    """A cause is not kept again so soon after the last one of its name."""
    faults: bool = True
    overruns: bool = True
    triggers: tuple[RecorderTrigger, ...] = ()
