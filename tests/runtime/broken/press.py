"""Programs that the broken cells name."""

from __future__ import annotations

from typing import ClassVar

from cellwright.tasks.api import (
    BOOL,
    REAL,
    UDINT,
    Deadline,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
)


class PressOptions(ProgramOptions):
    """Options of the press."""

    force_kn: float = 5.0
    """Force at which it stops."""


class Press(Program[PressOptions]):
    """Presses."""

    Options = PressOptions

    part_present = Input(BOOL)
    clamp_close = Output(BOOL)
    strokes = Retained(UDINT)

    def scan(self, ctx: ScanContext) -> None:
        """Close while a part is there."""
        self.clamp_close = self.part_present


class Lamp(Program[ProgramOptions]):
    """Shows a lamp."""

    level = Input(REAL)
    lamp = Output(BOOL)

    def scan(self, ctx: ScanContext) -> None:
        """Shine above the level."""
        self.lamp = self.level > 1.0


class Regulator(Program[ProgramOptions]):
    """Keeps a pressure and shows it to others."""

    pressure = Input(REAL, unit="bar")
    warmth = Input(REAL, unit="°C")
    ratio = Input(REAL)
    shown = Output(REAL, unit="bar")

    def scan(self, ctx: ScanContext) -> None:
        """Show the pressure."""
        self.shown = self.pressure


class Gauge(Program[ProgramOptions]):
    """Shows a pressure in another unit."""

    value = Input(REAL, unit="kPa")
    other = Input(REAL, unit="florin")

    def scan(self, ctx: ScanContext) -> None:
        """Do nothing."""


class Unfinished(Program[ProgramOptions]):
    """Has no scan method."""


class Helper:
    """Not a program."""


class Reader(Program[ProgramOptions]):
    """Has a worker that may not answer."""

    worker = "press:Eyes"
    deadlines: ClassVar[dict[str, Deadline]] = {
        "read": Deadline(cycles=50, value={"text": "", "quality": 0.0, "seen": None}),
        "aim": Deadline(cycles=10),
    }

    def scan(self, ctx: ScanContext) -> None:
        """Do nothing."""


class Orphan(Reader):
    """Forgot its worker."""

    worker = None
