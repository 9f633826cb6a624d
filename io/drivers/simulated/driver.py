"""The simulated device: answers like one behind a connection, from memory.

Called by the poll loop like any driver, in a driver process like any other, so that quality,
back-off and the safe state are the real ones. It touches no network.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections import deque
from pathlib import Path
from random import Random
from typing import Final

from cellwright.io.drivers.base import AddressArea, Driver, DriverError
from cellwright.io.drivers.simulated.options import (
    WORDS,
    Fault,
    Place,
    Signal,
    SimulatedOptions,
    place,
)
from cellwright.io.drivers.simulated.table import Table, TableError, read_table
from cellwright.io.plan import FORMAT, INTEGERS, Code, PollGroup, WireOrder, integer_range
from cellwright.io.timing.clock import Clock, MonotonicClock

_MOST_REMEMBERED: Final = 100_000
"""Changes of a followed address within its delay; older ones give way."""


class Simulated(Driver[SimulatedOptions]):
    """One device; ``clock`` is replaced in tests only."""

    Options = SimulatedOptions
    areas = SimulatedOptions().address_areas()

    def __init__(self, name: str, options: SimulatedOptions, *, clock: Clock | None = None) -> None:
        super().__init__(name, options)
        self._clock = clock or MonotonicClock()
        self._begin_ns: int | None = None
        self._memory: dict[str, dict[int, int]] = {area: {} for area in options.areas}
        for text, value in options.values.items():
            at = place(text)
            self._memory[at.area][at.first] = value
        self._signals = [(place(text), signal) for text, signal in options.signals.items()]
        self._tables: dict[int, Table] = {}
        self._past: dict[int, deque[tuple[float, float]]] = {
            number: deque(maxlen=_MOST_REMEMBERED)
            for number, (_, signal) in enumerate(self._signals)
            if signal.of is not None
        }
        self._connected = False

    @classmethod
    def areas_of(cls, options: SimulatedOptions) -> tuple[AddressArea, ...]:
        """Those that the options declare."""
        return options.address_areas()

    async def connect(self) -> None:
        """Begin the time, or find the device disconnected; raises DriverError."""
        if self._begin_ns is None:
            self._begin_ns = self._clock.now_ns()
            self._note()
        for number, (_, signal) in enumerate(self._signals):
            if signal.file is not None and number not in self._tables:
                try:
                    self._tables[number] = read_table(Path(signal.file), str(signal.column))
                except TableError as error:
                    raise DriverError(f"{self.name} (simulated): {error}", lost=True) from error
        if self._fault("disconnect") is not None:
            raise DriverError(f"{self.name} (simulated): disconnected by its script", lost=True)
        self._connected = True

    async def read(self, group: PollGroup) -> bytes:
        """What the addresses show now."""
        what = f"read {group.area}[{group.start}..{group.start + group.count - 1}]"
        await self._answer(group, "read", what)
        self._apply(group)
        memory = self._memory[group.area]
        items = [memory.get(group.start + number, 0) for number in range(group.count)]
        if self.options.areas[group.area].bits:
            packed = sum(1 << number for number, item in enumerate(items) if item)
            return packed.to_bytes(group.size, "little")
        return struct.pack(f">{group.count}H", *items)

    async def write(self, group: PollGroup, payload: bytes) -> None:
        """Keep it."""
        what = f"write {group.area}[{group.start}..{group.start + group.count - 1}]"
        await self._answer(group, "write", what)
        memory = self._memory[group.area]
        if self.options.areas[group.area].bits:
            items = [payload[number >> 3] >> (number & 7) & 1 for number in range(group.count)]
        else:
            items = list(struct.unpack(f">{group.count}H", payload))
        for number, item in enumerate(items):
            memory[group.start + number] = item
        self._note()

    async def close(self) -> None:
        """There is nothing to close."""
        self._connected = False

    # --- faults -----------------------------------------------------------------------------------

    def _now_s(self) -> float:
        return (self._clock.now_ns() - (self._begin_ns or 0)) / 1e9

    def _fault(self, kind: str, group: PollGroup | None = None, what: str = "both") -> Fault | None:
        now_s = self._now_s()
        for fault in self.options.faults:
            if (
                fault.fault == kind
                and fault.holds(now_s)
                and (group is None or (fault.what in ("both", what) and _touches(fault.at, group)))
            ):
                return fault
        return None

    async def _answer(self, group: PollGroup, kind: str, what: str) -> None:
        """Wait as long as the script says; raises DriverError for what does not come."""
        where = f"{self.name} (simulated): {what}"
        if self._fault("disconnect") is not None or not self._connected:
            self._connected = False
            raise DriverError(f"{where}: disconnected by its script", lost=True)
        if self._fault("silent", group, kind) is not None:
            await asyncio.sleep(self.options.timeout_s)
            self._connected = False
            raise DriverError(f"{where}: no answer within {self.options.timeout_s} s", lost=True)
        slow = self._fault("slow", group, kind)
        if slow is not None:
            await asyncio.sleep(slow.delay_s)
        if self._fault("refuse", group, kind) is not None:
            raise DriverError(f"{where}: refused by its script", lost=False)

    # --- signals ----------------------------------------------------------------------------------

    def _apply(self, group: PollGroup) -> None:
        """Bring the addresses of the group that have signals up to now."""
        now_s = self._now_s()
        end = group.start + group.count
        for number, (at, signal) in enumerate(self._signals):
            words = 1 if at.bit is not None else WORDS[signal.wire]
            if at.area == group.area and at.first < end and at.first + words > group.start:
                self._put(at, signal, self._value(number, signal, now_s))

    def _value(self, number: int, signal: Signal, now_s: float) -> float:
        if signal.wave == "csv":
            return self._tables[number].at(now_s, repeat=signal.repeat)
        if signal.wave == "follow":
            return self._followed(number, now_s - signal.delay_s)
        return wave(signal, now_s)

    def _note(self) -> None:
        """Remember what is followed, for those that follow later."""
        now_s = self._now_s()
        for number, past in self._past.items():
            signal = self._signals[number][1]
            value = self._get(place(str(signal.of)), signal)
            if not past or past[-1][1] != value:
                past.append((now_s, value))

    def _followed(self, number: int, at_s: float) -> float:
        past = self._past[number]
        while len(past) > 1 and past[1][0] <= at_s:
            past.popleft()
        return past[0][1] if past else 0.0

    def _get(self, at: Place, signal: Signal) -> float:
        memory = self._memory[at.area]
        if at.bit is not None:
            return memory.get(at.first, 0) >> at.bit & 1
        if self.options.areas[at.area].bits:
            return memory.get(at.first, 0)
        count = WORDS[signal.wire]
        data = struct.pack(f">{count}H", *(memory.get(at.first + n, 0) for n in range(count)))
        value = struct.unpack(">" + FORMAT[Code[signal.wire]], _ordered(data, signal.order))[0]
        return float(value) if math.isfinite(value) else 0.0

    def _put(self, at: Place, signal: Signal, value: float) -> None:
        memory = self._memory[at.area]
        if at.bit is not None:
            word = memory.get(at.first, 0) & ~(1 << at.bit)
            memory[at.first] = word | (value >= 0.5) << at.bit
            return
        if self.options.areas[at.area].bits:
            memory[at.first] = int(value >= 0.5)
            return
        code = Code[signal.wire]
        raw: float = value
        if code in INTEGERS:
            low, high = integer_range(code)
            raw = min(max(math.floor(value + 0.5), low), high)
        data = _ordered(struct.pack(">" + FORMAT[code], raw), signal.order)
        for number in range(len(data) // 2):
            memory[at.first + number] = int.from_bytes(data[2 * number : 2 * number + 2], "big")


def _touches(at: str | None, group: PollGroup) -> bool:
    if at is None or at == group.area:
        return True
    if "[" not in at:
        return False
    spot = place(at)
    return spot.area == group.area and group.start <= spot.first < group.start + group.count


def _ordered(data: bytes, order: str) -> bytes:
    """Big-endian bytes in another order of words and of bytes in a word; its own inverse."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in (WireOrder.CDAB, WireOrder.DCBA):
        words.reverse()
    if order in (WireOrder.BADC, WireOrder.DCBA):
        words = [word[::-1] for word in words]
    return b"".join(words)


def wave(signal: Signal, now_s: float) -> float:
    """Value of a signal that is a function of time alone."""
    if signal.wave == "constant":
        return signal.value
    part = (now_s + signal.phase_s) % signal.period_s / signal.period_s
    if signal.wave == "sine":
        share = 0.5 + 0.5 * math.sin(2 * math.pi * part)
    elif signal.wave == "ramp":
        share = part
    elif signal.wave == "square":
        share = 1.0 if part < signal.duty else 0.0
    else:
        share = Random(f"{signal.seed} {now_s // signal.period_s:.0f}").random()
    return signal.low + (signal.high - signal.low) * share
