"""Options of the simulated device: what it has, what its inputs do and when it fails.

The compiler validates them with the folder of the cell's file at hand, so that files are found from
there; the driver process gets them from the plan.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from cellwright.io.drivers.base import AddressArea, DriverOptions
from cellwright.io.drivers.simulated.table import TableError, read_table
from cellwright.io.options import Options

_PLACE: Final = re.compile(r"([A-Za-z_]\w*)\[(\d{1,6})\](?:\.(\d{1,2}))?", re.ASCII)

Wire = Literal["UINT", "INT", "UDINT", "DINT", "ULINT", "LINT", "REAL", "LREAL"]
WORDS: Final[dict[str, int]] = {
    "UINT": 1,
    "INT": 1,
    "UDINT": 2,
    "DINT": 2,
    "ULINT": 4,
    "LINT": 4,
    "REAL": 2,
    "LREAL": 4,
}

_NEEDS: Final = {
    "follow": ("of",),
    "csv": ("file", "column"),
}
_TAKES: Final = {
    "constant": ("value",),
    "sine": ("low", "high", "period_s", "phase_s"),
    "ramp": ("low", "high", "period_s", "phase_s"),
    "square": ("low", "high", "period_s", "phase_s", "duty"),
    "noise": ("low", "high", "period_s", "seed"),
    "follow": ("of", "delay_s"),
    "csv": ("file", "column", "repeat"),
}


class Place(NamedTuple):
    """An address of the device: ``area[index]`` or ``area[index].bit``."""

    area: str
    first: int
    bit: int | None


def place(text: str) -> Place:
    """Take an address apart; raises ValueError."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no address of the device; write one like coils[0]")
    bit = int(match[3]) if match[3] is not None else None
    return Place(match[1], int(match[2]), bit)


class Area(Options):
    """One area of addresses."""

    bits: bool = False
    """`true`: an index is one bit; `false`: a word of 16 bits."""
    writable: bool = False
    """Outputs may lie in it."""
    size: int = Field(65536, ge=1, le=65536)
    """Number of addresses, counted from 0."""
    per_request: int = Field(125, ge=1, le=2000)
    """Most addresses that one request carries."""


MODBUS: Final = {
    "coils": Area(bits=True, writable=True, per_request=1968),
    "discrete_inputs": Area(bits=True, per_request=2000),
    "input_registers": Area(),
    "holding_registers": Area(writable=True, per_request=123),
}


class Signal(Options):
    """What an address shows over time. Times count from the first connection of the driver."""

    wave: Literal["constant", "sine", "ramp", "square", "noise", "follow", "csv"]
    """`constant`; `sine`; `ramp` from `low` to `high` and again; `square`, `high` first; `noise`,
    another value between `low` and `high` each period; `follow` another address; `csv`."""
    value: float = 0.0
    """Of `constant`. All values are raw ones, as the device has them; a bit is 1 from 0.5 on."""
    low: float = 0.0
    """Lowest value."""
    high: float = 1.0
    """Highest value."""
    period_s: float = Field(10.0, gt=0)
    """Time of one wave in seconds; of `noise`: how long each value stands."""
    phase_s: float = Field(0.0, ge=0)
    """How far the wave has come at the beginning, in seconds."""
    duty: float = Field(0.5, gt=0, lt=1)
    """Of `square`: the part of the period that is `high`."""
    seed: int = 1
    """Of `noise`: the same seed gives the same values."""
    of: str | None = None
    """Of `follow`: the address, for example of an output: `coils[0]`."""
    delay_s: float = Field(0.0, ge=0, le=3600)
    """Of `follow`: how much later."""
    file: str | None = Field(None, min_length=1)
    """Of `csv`: file with the column `time_s` and one column a signal, separated by commas;
    relative to the cell's file. A value stands until the time of the next."""
    column: str | None = None
    """Of `csv`: name of the column."""
    repeat: bool = False
    """Of `csv`: begin again at the last time, whose value then only marks the end."""
    wire: Wire = "UINT"
    """Type of the value in words."""
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    """Order of bytes, as for tags."""

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Self:
        takes = _TAKES[self.wave]
        for key, field in type(self).model_fields.items():
            # A plan has all of them, so only another value than the default says something.
            if key not in ("wave", "wire", "order", *takes) and getattr(self, key) != field.default:
                raise ValueError(
                    f"the wave {self.wave} takes no `{key}`, it takes {', '.join(takes)}"
                )
        for key in _NEEDS.get(self.wave, ()):
            if getattr(self, key) is None:
                raise ValueError(f"the wave {self.wave} needs `{key}`")
        if self.low > self.high:
            raise ValueError(f"low ({self.low:g}) is above high ({self.high:g})")
        if self.file is not None and isinstance(info.context, dict):
            try:
                read_table(Path(info.context["folder"]) / self.file, str(self.column))
            except TableError as error:
                raise ValueError(str(error)) from error
        return self

    @field_validator("file")
    @classmethod
    def _absolute(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file is None or not isinstance(info.context, dict):
            return file
        return str(Path(info.context["folder"]) / file)

    @field_validator("of")
    @classmethod
    def _address(cls, of: str | None) -> str | None:
        if of is not None:
            place(of)
        return of


class Fault(Options):
    """Something that goes wrong at a time, counted from the first connection."""

    fault: Literal["disconnect", "silent", "slow", "refuse"]
    """`disconnect`: no connection; `silent`: no answer; `slow`: answers after `delay_s`; `refuse`:
    the device answers with an error."""
    from_s: float = Field(ge=0)
    """When it begins, in seconds."""
    to_s: float = Field(gt=0)
    """When it ends."""
    every_s: float | None = Field(None, gt=0)
    """It comes again after this time."""
    at: str | None = None
    """`silent`, `slow`, `refuse`: only requests that touch this address (`coils[3]`) or area."""
    what: Literal["read", "write", "both"] = "both"
    """`silent`, `slow`, `refuse`: which requests."""
    delay_s: float = Field(0.05, gt=0, le=60)
    """Of `slow`: how long an answer takes."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.to_s <= self.from_s:
            raise ValueError(f"the fault ends at {self.to_s:g} s, before it begins")
        if self.every_s is not None and self.every_s < self.to_s - self.from_s:
            raise ValueError(f"the fault comes every {self.every_s:g} s and lasts longer")
        return self

    def holds(self, at_s: float) -> bool:
        """It is on at this time."""
        if self.every_s is not None and at_s >= self.from_s:
            at_s = self.from_s + (at_s - self.from_s) % self.every_s
        return self.from_s <= at_s < self.to_s


class SimulatedOptions(DriverOptions):
    """A device that exists in this file only. A cell with one says so in `status` and in
    `sys.degraded`."""

    areas: dict[str, Area] = Field(default_factory=lambda: dict(MODBUS), min_length=1)
    """Areas by name. Default: those of `modbus-tcp`."""
    values: dict[str, int] = Field(default_factory=dict)
    """What addresses hold at first: a word (0 to 65535) or a bit (0, 1) an address. All others
    hold 0. What is written is kept and can be read back."""
    signals: dict[str, Signal] = Field(default_factory=dict)
    """Addresses that change by themselves, for example
    `"input_registers[4]": {wave: sine, high: 1000}`."""
    faults: tuple[Fault, ...] = Field((), strict=False)
    """What goes wrong, and when."""
    timeout_s: float = Field(0.2, gt=0, le=60)
    """How long a `silent` device is waited for."""
    stands_for: str = ""
    """Driver that it was put in the place of, by `run --simulate`."""

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        for text, value in self.values.items():
            area = self._area(text, place(text), 1)
            if not 0 <= value <= (1 if area.bits else 65535):
                raise ValueError(f"{text} cannot hold {value}")
        taken: dict[tuple[str, int, int | None], str] = {}
        for text, signal in self.signals.items():
            at = place(text)
            words = 1 if at.bit is not None else WORDS[signal.wire]
            area = self._area(text, at, words)
            for index in range(at.first, at.first + (1 if area.bits else words)):
                twin = taken.setdefault((at.area, index, at.bit), text)
                if twin != text:
                    raise ValueError(f"the signals {twin} and {text} overlap")
            if signal.of is not None:
                self._area(signal.of, place(signal.of), 1)
        for fault in self.faults:
            if fault.at is not None and fault.at not in self.areas:
                self._area(fault.at, place(fault.at), 1)
        return self

    def _area(self, text: str, at: Place, words: int) -> Area:
        area = self.areas.get(at.area)
        if area is None:
            raise ValueError(f"{text}: there is no area '{at.area}', only {', '.join(self.areas)}")
        if at.first + (1 if area.bits else words) > area.size:
            raise ValueError(f"{text} lies outside its area, which ends at {area.size - 1}")
        if at.bit is not None and (area.bits or at.bit > 15):
            raise ValueError(f"{text}: only words have bits, 0 to 15")
        return area

    def address_areas(self) -> tuple[AddressArea, ...]:
        """The areas as the compiler takes them."""
        return tuple(
            AddressArea(name, area.bits, area.writable, area.size, area.per_request)
            for name, area in self.areas.items()
        )

    @classmethod
    def standing_for(
        cls, driver: str, areas: tuple[AddressArea, ...], values: dict[str, int]
    ) -> dict[str, Any]:
        """Options, as a plan has them, for a stand-in of a device with these areas."""
        named = {
            area.name: Area(
                bits=area.bits,
                writable=area.writable,
                size=area.size,
                per_request=area.per_request,
            )
            for area in areas
        }
        return cls(areas=named, values=values, stands_for=driver).model_dump(mode="json")
