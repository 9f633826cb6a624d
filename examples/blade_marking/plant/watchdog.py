"""The coupler's own watchdog: outputs fall to their safe values when nobody writes them any more.

Pure: told of writes and of the time by `coupler`, which owns the timer. Registers as in the plant's
README; they follow what couplers on the market do (stop, time, start, status).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

BASE: Final = 0x1000
TIME, START, STATUS, STOP = BASE, BASE + 3, BASE + 6, BASE + 8
"""Holding registers: time in ms, start (not 0), state, stop (0xAA55)."""
REGISTERS: Final = 9
STOP_WORD: Final = 0xAA55
SAFE_COILS: Final = 0x0200
"""Coil that holds the value to which coil 0 falls; the next ones follow."""


class WatchdogState(IntEnum):
    """What the status register reads."""

    OFF = 0
    RUNS = 1
    RAN_OUT = 2


class CouplerWatchdog:
    """State and figures; times are CLOCK_MONOTONIC ns."""

    def __init__(self, coils: int) -> None:
        self._coils = coils
        self.reset()

    def reset(self) -> None:
        """As after power-on."""
        self.state = WatchdogState.OFF
        self.time_ms = 0
        self.safe = [False] * self._coils
        self._fed_ns = 0

    @property
    def refuses(self) -> bool:
        """After it has run out, outputs are not taken until somebody stops or starts it."""
        return self.state is WatchdogState.RAN_OUT

    @property
    def due_ns(self) -> int:
        """When it runs out if nobody writes; meaningful while it runs."""
        return self._fed_ns + self.time_ms * 1_000_000

    def feed(self, now_ns: int) -> None:
        """Outputs were written."""
        self._fed_ns = now_ns

    def ran_out(self, now_ns: int) -> bool:
        """True once, when the time is over."""
        if self.state is not WatchdogState.RUNS or now_ns < self.due_ns:
            return False
        self.state = WatchdogState.RAN_OUT
        return True

    def read(self) -> list[int]:
        """All its registers."""
        words = [0] * REGISTERS
        words[0], words[STATUS - BASE] = self.time_ms, int(self.state)
        return words

    def write(self, register: int, value: int, now_ns: int) -> bool:
        """Take a word; False when it is refused now or never."""
        if register == TIME and self.state is not WatchdogState.RUNS:
            self.time_ms = value
        elif register == START and value and self.time_ms:
            self.state = WatchdogState.RUNS
            self._fed_ns = now_ns
        elif register == STOP and value == STOP_WORD:
            self.state = WatchdogState.OFF
        else:
            return False
        return True
