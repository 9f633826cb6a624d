"""Programs of the bench cell, with which the configuration compiler is tested."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from cellwright.tasks.api import (
    ARRAY,
    BOOL,
    INT,
    REAL,
    STRING,
    UDINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
)


class PressOptions(ProgramOptions):
    """Options of the press."""

    force_kn: float = Field(5.0, gt=0)
    """Force at which the press stops."""
    gauge: str = ""
    """Name of a device, to be checked by the program."""


class Press(Program[PressOptions]):
    """Presses when a part is there and the station is ready."""

    Options = PressOptions

    part_present = Input(BOOL)
    air_pressure = Input(REAL, unit="bar")
    station_done = Input(BOOL)
    clamp_close = Output(BOOL)
    station_start = Output(BOOL)
    speed = Output(REAL, initial=2.5)
    strokes = Retained(UDINT, description="Strokes in the life of the press")
    text = Output(STRING(20), initial="idle")
    profile = Output(ARRAY(4, INT), initial=[1, 2, 3, 4])

    def scan(self, ctx: ScanContext) -> None:
        """Close while a part is there."""
        self.clamp_close = self.part_present

    @classmethod
    def validate(
        cls, options: PressOptions, plan_folder: str, devices: Mapping[str, str]
    ) -> list[str]:
        """The gauge must be a field device."""
        if options.gauge and devices.get(options.gauge) != "driver":
            return [f"gauge: '{options.gauge}' is no field device"]
        return []


class Station(Program[ProgramOptions]):
    """A station with a handshake."""

    worker = "bench_programs:StationWorker"

    start = Input(BOOL, description="Begin")
    done = Output(BOOL, description="Finished")
    count = Retained(UDINT)

    def scan(self, ctx: ScanContext) -> None:
        """Finish at once."""
        self.done = self.start
