"""A program that fails to order: loops for ever, raises, or has its worker eat all memory."""

from __future__ import annotations

from typing import Any

from cellwright.io.messages import PartDeparted
from cellwright.tasks.api import (
    BOOL,
    INT,
    UDINT,
    UINT,
    Input,
    Output,
    Program,
    ProgramOptions,
    Retained,
    ScanContext,
    Worker,
)
from cellwright.tasks.control.timers import TON

LOOP, RAISE, EAT, PING = 1, 2, 3, 4
"""Values of the tag ``order``."""

TOGGLE_NS = 100_000_000


class Faulty(Program[ProgramOptions]):
    """Holds every output away from its safe value until it is told to fail."""

    worker = "faulty:Eater"

    order = Input(INT)
    clamp_close = Output(BOOL)
    conveyor_run = Output(BOOL)
    eject_good = Output(BOOL)
    eject_reject = Output(BOOL)
    lamp_green = Output(BOOL)
    lamp_red = Output(BOOL)
    marker_enable = Output(BOOL)
    heartbeat = Output(UINT)
    executions = Retained(UDINT)
    answers = Output(UDINT, description="Jobs of this start that the worker has done")
    refused = Output(UDINT, description="Jobs of this start that ended with an error")

    toggle = TON()

    _ordered = 0

    def scan(self, ctx: ScanContext) -> None:
        """One execution; `LOOP` never ends."""
        self.clamp_close = self.conveyor_run = self.eject_good = True
        self.lamp_green = self.marker_enable = True
        self.lamp_red = False
        self.heartbeat = (self.heartbeat + 1) % 65536
        self.executions = (self.executions + 1) % 2**32
        if self.toggle(ctx, not self.toggle.Q, TOGGLE_NS):
            self.eject_reject = not self.eject_reject
        # Something for the journal in every cycle, so that its faults are found at once.
        ctx.emit(PartDeparted, part_id=f"{ctx.boot_id}-{ctx.cycle}")
        for result in ctx.results:
            if result.error:
                self.refused += 1
            else:
                self.answers += 1
        if self.order != self._ordered:
            self._ordered = self.order
            self._obey(ctx)

    def _obey(self, ctx: ScanContext) -> None:
        while self._ordered == LOOP:
            pass
        if self._ordered == RAISE:
            raise RuntimeError("told to fail")
        if self._ordered == EAT:
            ctx.submit("eat")
        if self._ordered == PING:
            ctx.submit("ping")


class Eater(Worker):
    """Eats memory until there is none, or answers."""

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Job ``eat`` ends with MemoryError or with the process."""
        eaten = []
        while kind == "eat":
            eaten.append(b"\x01" * 4_000_000)
        return {}
