"""Heartbeats: changes what is to be sent, watches what is expected, in scan time.

The scan calls `Heartbeats.cycle` after the tasks and before the alarms, which make of a lost
heartbeat whatever the configuration asks for. The states are a table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, Final, Never

from cellwright.io.plan import (
    UNCERTAIN_INITIAL,
    Code,
    Heartbeat,
    Plan,
    Row,
    StateTable,
    integer_range,
    is_good,
)
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.scan.cycle_state import CarriesState


class Pulse(StrEnum):
    """State of what is expected."""

    WAITING = "waiting"
    """Since the start of the scan: no sign of life yet, and the timeout is not over."""
    ALIVE = "alive"
    LOST = "lost"
    """No sign of life for longer than the timeout."""


class Sign(StrEnum):
    """What a cycle sees."""

    BEAT = "beat"
    """The tag has changed, with Good quality."""
    LATE = "late"
    """The tag has not changed for longer than the timeout."""


TABLE: Final = StateTable[Pulse, Sign, Never, Never](
    Row(Pulse.WAITING, Sign.BEAT, Pulse.ALIVE),
    Row(Pulse.WAITING, Sign.LATE, Pulse.LOST),
    Row(Pulse.ALIVE, Sign.BEAT, Pulse.ALIVE),
    Row(Pulse.ALIVE, Sign.LATE, Pulse.LOST),
    Row(Pulse.LOST, Sign.BEAT, Pulse.ALIVE),
    Row(Pulse.LOST, Sign.LATE, Pulse.LOST),
)

_NEXT: Final = TABLE.moves()


class Heartbeats(CarriesState):
    """All heartbeats of a cell."""

    CARRIED: ClassVar = ("_senders", "_watchers")

    def __init__(self, plan: Plan, image: ProcessImage) -> None:
        self._senders = [_Sender(beat, plan, image) for beat in plan.heartbeats if beat.send >= 0]
        self._watchers = [_Watcher(beat, image) for beat in plan.heartbeats if beat.expect >= 0]

    def cycle(self, now_ns: int) -> None:
        """Send what is due; look at what is expected."""
        for sender in self._senders:
            sender.cycle(now_ns)
        for watcher in self._watchers:
            watcher.cycle(now_ns)

    def carried(self) -> list[Any]:
        """What the next cycle goes on from, as plain data."""
        return [
            [sender.carried() for sender in self._senders],
            [watcher.carried() for watcher in self._watchers],
        ]

    def carry_on(self, carried: list[Any]) -> None:
        """Go on from what another one with the same plan carried."""
        for sender, due_ns in zip(self._senders, carried[0], strict=True):
            sender.carry_on(due_ns)
        for watcher, state in zip(self._watchers, carried[1], strict=True):
            watcher.carry_on(state)


class _Sender:
    """Inverts or counts one tag."""

    def __init__(self, beat: Heartbeat, plan: Plan, image: ProcessImage) -> None:
        self._image, self._tag, self._period_ns = image, beat.send, beat.period_ns
        code = plan.tags[beat.send].type.code
        self._last = 1 if code is Code.BOOL else integer_range(code)[1]
        self._is_bool = code is Code.BOOL
        self._due_ns = 0

    def cycle(self, now_ns: int) -> None:
        if now_ns < self._due_ns:
            return
        # In phase with the first one, however late a cycle is; never two at once.
        behind = (now_ns - self._due_ns) // self._period_ns + 1 if self._due_ns else 0
        self._due_ns = (self._due_ns or now_ns + self._period_ns) + behind * self._period_ns
        value = int(self._image.get(self._tag))  # type: ignore[arg-type]
        value = 0 if value >= self._last or value < 0 else value + 1
        self._image.set(self._tag, bool(value) if self._is_bool else value)

    def carried(self) -> int:
        return self._due_ns

    def carry_on(self, due_ns: int) -> None:
        self._due_ns = due_ns


class _Watcher:
    """Watches one tag for changes."""

    def __init__(self, beat: Heartbeat, image: ProcessImage) -> None:
        self._beat, self._image = beat, image
        self._value: int | None = None
        self._beat_ns = 0
        self._pulse = Pulse.WAITING
        self._shown = False

    def cycle(self, now_ns: int) -> None:
        if not self._shown:
            self._beat_ns = now_ns
            self._show()
        sign = self._sign(now_ns)
        if sign is None:
            return
        new = _NEXT[self._pulse, sign]
        if new is not self._pulse:
            self._pulse = new
            self._show()

    def _sign(self, now_ns: int) -> Sign | None:
        beat, image = self._beat, self._image
        status = image.quality(beat.expect)
        if self._value is None:
            # What is found at the start is no sign of life, whether read or initial.
            if is_good(status) or status == UNCERTAIN_INITIAL:
                self._value = int(image.get(beat.expect))  # type: ignore[arg-type]
        elif is_good(status):
            value = int(image.get(beat.expect))  # type: ignore[arg-type]
            if value != self._value:
                self._value, self._beat_ns = value, now_ns
                return Sign.BEAT
        return Sign.LATE if now_ns - self._beat_ns > beat.timeout_ns else None

    def _show(self) -> None:
        self._shown = True
        self._image.set(self._beat.alive, self._pulse is Pulse.ALIVE)
        self._image.set(self._beat.lost, self._pulse is Pulse.LOST)

    def carried(self) -> tuple[int | None, int, str, bool]:
        return self._value, self._beat_ns, str(self._pulse), self._shown

    def carry_on(self, state: tuple[int | None, int, str, bool]) -> None:
        self._value, self._beat_ns, pulse, self._shown = state
        self._pulse = Pulse(pulse)
