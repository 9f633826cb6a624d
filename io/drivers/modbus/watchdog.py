"""A Modbus coupler's own watchdog: which registers arm it, and the steps to do so.

`modbus.ModbusTcp` arms it after each connection. It must never report a watchdog as armed that the
device has not confirmed by what it reads back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self

from pydantic import Field, model_validator

from cellwright.io.drivers.base import SafeOutputs
from cellwright.io.options import Options
from cellwright.io.plan import PollGroup

FED: Final = 3
"""Writes in the watchdog's time: two may be late before the device takes the outputs away."""

WATCHDOG_EXCEPTION: Final = 4
"""SERVER DEVICE FAILURE: what couplers answer to writes after their watchdog has run out."""


class RegisterValue(Options):
    """A holding register and what is written to it or expected in it."""

    address: int = Field(ge=0, le=65535)
    """Address, counted from 0 (0x1000 as in most manuals, not 404097)."""
    value: int = Field(ge=0, le=65535)
    """The word."""


class ModbusWatchdog(Options):
    """The watchdog in the coupler: it takes the outputs away when nobody writes them any more.

    It covers what no process of the cell can: a driver, computer or cable that is gone. The steps
    are those of the coupler's manual: ``before`` (stop an old one, say what feeds it), the time,
    the safe values, ``after`` (start), then ``status`` is checked.
    """

    time_ms: int = Field(ge=5, le=6_553_500)
    """Outputs fall when the device has not been written for so long, in milliseconds. The driver
    writes at least three times as often."""
    address: int = Field(ge=0, le=65535)
    """Holding register that takes the time."""
    unit_ms: int = Field(1, ge=1, le=1000)
    """What one count of that register is: 100 for WAGO 750, 1 for Beckhoff BK9000."""
    before: tuple[RegisterValue, ...] = Field((), strict=False)
    """Written first, in order: an armed watchdog often has to be stopped before it takes a time."""
    after: tuple[RegisterValue, ...] = Field((), strict=False)
    """Written last, in order: what starts it."""
    status: RegisterValue | None = None
    """Register and value that say that it runs; without it only the time is read back."""
    trigger: int | None = Field(None, ge=0, le=65535)
    """Holding register that must be written with changing values to feed the watchdog. Leave it
    out where each write of outputs does."""
    safe_coils: int | None = Field(None, ge=0, le=65535)
    """Coil that holds the value to which coil 0 falls; the next ones follow. The declared safe
    values are written there. Without it the coupler decides, which mostly means: off."""

    @model_validator(mode="after")
    def _whole_counts(self) -> Self:
        if self.time_ms % self.unit_ms or self.counts > 65535:
            raise ValueError(
                f"{self.time_ms} ms is not a whole number of {self.unit_ms} ms up to 65535; choose "
                "a multiple, or look the unit up in the coupler's manual"
            )
        return self

    @property
    def counts(self) -> int:
        """The time as the register takes it."""
        return self.time_ms // self.unit_ms

    @property
    def feed_ns(self) -> int:
        """Longest time between two writes of the outputs."""
        return self.time_ms * 1_000_000 // FED


Read = Callable[[PollGroup], Awaitable[bytes]]
Write = Callable[[PollGroup, bytes], Awaitable[None]]


async def arm(
    watchdog: ModbusWatchdog, outputs: Sequence[SafeOutputs], read: Read, write: Write
) -> str:
    """Go through the steps; an empty string, or what the device did not keep.

    ``read`` and ``write`` raise DriverError for what fails on the way.
    """
    for step in watchdog.before:
        await write(_word(step.address), step.value.to_bytes(2, "big"))
    time = _word(watchdog.address)
    await write(time, watchdog.counts.to_bytes(2, "big"))
    kept = int.from_bytes(await read(time), "big")
    if kept != watchdog.counts:
        return f"register {watchdog.address:#06x} (time) holds {kept}, not {watchdog.counts}"
    if watchdog.safe_coils is not None:
        for output in outputs:
            if output.group.area == "coils":
                place = _coils(watchdog.safe_coils + output.group.start, output.group)
                await write(place, output.payload)
                if await read(place) != output.payload:
                    return f"coils from {place.start:#06x} on do not keep the safe values"
    for step in watchdog.after:
        await write(_word(step.address), step.value.to_bytes(2, "big"))
    if watchdog.status is not None:
        found = int.from_bytes(await read(_word(watchdog.status.address)), "big")
        if found != watchdog.status.value:
            return (
                f"register {watchdog.status.address:#06x} (status) reads {found}, "
                f"not {watchdog.status.value}: it does not run"
            )
    return ""


def values_given_up(watchdog: ModbusWatchdog, outputs: Sequence[SafeOutputs]) -> list[str]:
    """Where a declared safe value is not given by a coupler that only switches off."""
    return [
        f"{output.group.area}[{output.group.start}..]"
        for output in outputs
        if not (output.group.area == "coils" and watchdog.safe_coils is not None)
        and any(value & ~hold for value, hold in zip(output.payload, output.hold_mask, strict=True))
    ]


def trigger_group(register: int) -> PollGroup:
    """Where the feeding word is written."""
    return _word(register)


def _word(register: int) -> PollGroup:
    return PollGroup(
        index=-1, area="holding_registers", start=register, count=1, output=True, offset=0, size=2
    )


def _coils(start: int, like: PollGroup) -> PollGroup:
    return PollGroup(
        index=-1, area="coils", start=start, count=like.count, output=True, offset=0, size=like.size
    )
