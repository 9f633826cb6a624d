"""The section ``recorder`` of ``cell.yaml``: what the flight recorder keeps, and when.

Part of `model`, which has all sections; what its keys mean together is checked in `recorder`.
"""

from __future__ import annotations

from pydantic import Field

from cellwright.io.plan import RecorderSettings
from cellwright.runtime.config.sections.durations import Duration, DurationOrZero
from cellwright.runtime.config.sections.section import Section
from cellwright.runtime.config.sections.sizes import Size

_USUAL = RecorderSettings()


class Recorder(Section):
    """The flight recorder. It runs in every cell, also without this section. It always holds the
    time just passed in a buffer on the disk, and keeps a recording of it in a file of its own when
    there is a cause: a fault, skipped ticks, a trigger, or `cellwright record`."""

    window: Duration = _USUAL.window_ns
    """What a recording holds of the time before its cause, 1s to 1h; up to 5 s more. Less, when
    the buffer is too small for it."""
    after: DurationOrZero = _USUAL.after_ns
    """How long a recording continues after its cause, at most 10min. Causes that come meanwhile go
    into the same recording, which then continues for up to twice this time."""
    buffer: Size | None = None
    """Most disk space of what is held before there is a cause; at most `keep`. Default: 256MiB, or
    `keep` when that is less."""
    keep: Size = _USUAL.keep_bytes
    """Most disk space of all recordings together. Those about skipped ticks go first, then the
    oldest."""
    files: int = Field(_USUAL.files, ge=1, le=1000)
    """Most recordings."""
    pause: DurationOrZero = _USUAL.pause_ns
    """A cause of the same name is not kept again so soon, at most 24h; one of skipped ticks not
    within 10min."""
    faults: bool = _USUAL.faults
    """Keep a recording when the cell goes to FAULT."""
    overruns: bool = _USUAL.overruns
    """Keep a recording when ticks were skipped."""
    triggers: dict[str, str] = Field(default_factory=dict)
    """Name to condition on tags, in the language of alarms: `pressure_high: "pressure > 6.5"`. When
    it becomes true, a recording of that name is kept. At most 32. While a tag whose value it needs
    is Bad, it stays as it was."""
