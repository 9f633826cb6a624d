"""The control program of the blade-marking cell: from a blade at the stop to a blade sorted.

It owns the actuators and decides; marking and inspection belong to the stations, with which it
shakes hands through their variables. A part is recorded before it moves on, so that the cell can
be killed at any instant and still knows what lies in the clamp.
"""

from __future__ import annotations

from collections.abc import Sequence as Events
from enum import IntEnum
from typing import Any

from pydantic import Field

from cellwright.io.messages import AnyEvent, PartArrived, PartDeparted, PartReleased
from cellwright.tasks.api import (
    BOOL,
    INT,
    REAL,
    STRING,
    UDINT,
    UINT,
    Input,
    Output,
    ProgramOptions,
    Retained,
    ScanContext,
    TableStation,
    Transition,
    clip,
)
from cellwright.tasks.control.blocks import TON, T_s

GOOD = "good"
REJECTED = "rejected"


class SequenceOptions(ProgramOptions):
    """Times and limits of the sequence."""

    clamp_timeout_s: float = Field(3.0, gt=0)
    """Longest time for the clamp to close and hold."""
    clamp_hold_s: float = Field(0.1, ge=0)
    """How long the clamp must report closed before it counts."""
    clamp_pressure_bar: float = Field(3.0, ge=0)
    """Least pressure with which the clamp holds a blade."""
    retry_s: float = Field(2.0, gt=0)
    """Time between two attempts to mark, while the MES has no work or the marker is away."""
    eject_timeout_s: float = Field(5.0, gt=0)
    """Longest time for a blade to leave before the lamp turns red; the ejector keeps trying."""


class SequenceStep(IntEnum):
    """Step as published in the variable ``step``."""

    WAIT_PART = 0
    ARRIVED = 1
    CLAMPING = 2
    MARKING = 3
    MARK_RETRY = 4
    INSPECTING = 5
    RELEASING = 6
    UNCLAMPING = 7
    EJECTING = 8
    DEPARTED = 9


class Sequence(TableStation[SequenceOptions]):
    """Clamp, mark, inspect, decide, sort: one blade at a time."""

    Options = SequenceOptions
    Step = SequenceStep

    part_present = Input(BOOL, description="A blade is at the stop")
    clamp_closed = Input(BOOL)
    clamp_open = Input(BOOL)
    clamp_pressure = Input(REAL, unit="bar")
    estop_ok = Input(BOOL, description="Emergency stop chain closed")

    mark_done = Input(BOOL)
    mark_error = Input(BOOL)
    mark_error_text = Input(STRING(120))
    mark_outcome = Input(STRING(16))
    mark_serial = Input(STRING(40))
    mark_content = Input(STRING(200))
    inspect_done = Input(BOOL)
    inspect_ok = Input(BOOL)
    inspect_reason = Input(STRING(120))

    conveyor_run = Output(BOOL)
    clamp_close = Output(BOOL)
    eject_good = Output(BOOL)
    eject_reject = Output(BOOL)
    lamp_green = Output(BOOL)
    lamp_red = Output(BOOL)
    marker_enable = Output(BOOL, description="Interlock: the marker may peen")
    heartbeat = Output(UINT, description="Counts every execution, for the plant")

    mark_start = Output(BOOL)
    mark_part_id = Output(STRING(40))
    mark_reset = Output(BOOL)
    inspect_start = Output(BOOL)
    inspect_part_id = Output(STRING(40))
    inspect_serial = Output(STRING(40))
    inspect_expected = Output(STRING(200))

    step = Output(INT, description="Step of the sequence, see SequenceStep")
    part_id = Output(STRING(40), description="The blade in the cell")
    verdict = Output(STRING(16), description="good or rejected, once decided")
    message = Output(STRING(120), description="What the sequence waits for, for people")
    parts = Retained(UDINT, description="Blades that entered the cell")
    good = Retained(UDINT, description="Blades accepted")
    rejected = Retained(UDINT, description="Blades rejected")

    clamp_held = TON()

    table = (
        Transition(SequenceStep.WAIT_PART, "released_lies_here", "", SequenceStep.UNCLAMPING),
        Transition(SequenceStep.WAIT_PART, "known_is_gone", "give_up", SequenceStep.RELEASING),
        Transition(SequenceStep.WAIT_PART, "known_lies_here", "", SequenceStep.ARRIVED),
        Transition(SequenceStep.WAIT_PART, "part_arrives", "record_part", SequenceStep.ARRIVED),
        Transition(SequenceStep.ARRIVED, "is_durable", "", SequenceStep.CLAMPING),
        Transition(SequenceStep.CLAMPING, "clamp_holds", "", SequenceStep.MARKING),
        Transition(SequenceStep.CLAMPING, "clamp_late", "reject_clamp", SequenceStep.RELEASING),
        Transition(SequenceStep.MARKING, "mark_made", "take_mark", SequenceStep.INSPECTING),
        Transition(SequenceStep.MARKING, "mark_refused", "reject_mark", SequenceStep.RELEASING),
        Transition(SequenceStep.MARKING, "mark_postponed", "tell_mark", SequenceStep.MARK_RETRY),
        Transition(SequenceStep.MARK_RETRY, "retry_due", "", SequenceStep.MARKING),
        Transition(SequenceStep.INSPECTING, "inspected", "decide", SequenceStep.RELEASING),
        Transition(SequenceStep.RELEASING, "gone_by_hand", "record_gone", SequenceStep.DEPARTED),
        Transition(SequenceStep.RELEASING, "is_durable", "", SequenceStep.UNCLAMPING),
        Transition(SequenceStep.UNCLAMPING, "clamp_released", "", SequenceStep.EJECTING),
        Transition(SequenceStep.EJECTING, "part_left", "record_gone", SequenceStep.DEPARTED),
        Transition(SequenceStep.DEPARTED, "is_durable", "forget", SequenceStep.WAIT_PART),
    )

    def __init__(self, image: Any, binding: Any, options: SequenceOptions) -> None:
        super().__init__(image, binding, options)
        self._part = ""
        self._serial = ""
        self._content = ""
        self._verdict = ""
        self._recovered = False

    def recover(self, events: Events[AnyEvent], ctx: ScanContext) -> None:
        """Know again which blade lies in the cell and whether it is decided."""
        self.restart_table(ctx)
        for event in events:
            match event:
                case PartArrived():
                    self._part, self._verdict, self._recovered = event.part_id, "", True
                case PartReleased():
                    self._verdict = event.verdict
                case _:
                    pass

    def scan(self, ctx: ScanContext) -> None:
        """Step the table, then drive every output from the step alone."""
        pressed = self.clamp_closed and self.clamp_pressure >= self.options.clamp_pressure_bar
        self.clamp_held(ctx, IN=pressed, PT=T_s(self.options.clamp_hold_s))
        self.step_table(ctx)
        here = self._state
        working = SequenceStep.CLAMPING <= here <= SequenceStep.RELEASING
        ejecting = here is SequenceStep.EJECTING
        late = ejecting and self.elapsed_s(ctx) > self.options.eject_timeout_s
        self.conveyor_run = here is SequenceStep.WAIT_PART and not self._part and self.estop_ok
        self.clamp_close = working and self.estop_ok
        self.marker_enable = here is SequenceStep.MARKING and self.estop_ok
        self.eject_good = ejecting and self._verdict == GOOD
        self.eject_reject = ejecting and self._verdict != GOOD
        self.mark_start = here is SequenceStep.MARKING
        self.mark_part_id = self._part
        self.mark_reset = here is SequenceStep.MARK_RETRY
        self.inspect_start = here is SequenceStep.INSPECTING
        self.inspect_part_id = self._part
        self.inspect_serial = self._serial
        self.inspect_expected = self._content
        self.lamp_red = late or here is SequenceStep.MARK_RETRY or not self.estop_ok
        self.lamp_green = not self.lamp_red
        self.heartbeat = (self.heartbeat + 1) & 0xFFFF
        self.step = int(here)
        self.part_id = self._part
        self.verdict = self._verdict
        if here is SequenceStep.WAIT_PART:
            self.message = "waiting for a blade"
        elif late:
            self.message = "the blade does not leave: look at the ejector"

    # --- guards -----------------------------------------------------------------------------------

    def released_lies_here(self, ctx: ScanContext) -> bool:
        """After a restart: the blade is decided and has not left."""
        return bool(self._part and self._verdict)

    def known_is_gone(self, ctx: ScanContext) -> bool:
        """After a restart: a blade that was in work is no longer there."""
        return bool(self._part) and not self.part_present

    def known_lies_here(self, ctx: ScanContext) -> bool:
        """After a restart: the blade in work still lies there."""
        return bool(self._part)

    def part_arrives(self, ctx: ScanContext) -> bool:
        """A new blade is at the stop, and the clamp is open."""
        return bool(self.part_present and self.clamp_open)

    def clamp_holds(self, ctx: ScanContext) -> bool:
        """Closed under pressure for long enough."""
        return self.clamp_held.Q

    def clamp_late(self, ctx: ScanContext) -> bool:
        """The clamp did not close in time."""
        return self.elapsed_s(ctx) > self.options.clamp_timeout_s

    def mark_made(self, ctx: ScanContext) -> bool:
        """The station has marked, or does not know: the camera tells."""
        return bool(self.mark_done)

    def mark_refused(self, ctx: ScanContext) -> bool:
        """The serial is spent and the mark was certainly not made."""
        return bool(self.mark_error) and self.mark_outcome == "failed"

    def mark_postponed(self, ctx: ScanContext) -> bool:
        """No serial or no marker now; nothing is on the blade."""
        return bool(self.mark_error)

    def retry_due(self, ctx: ScanContext) -> bool:
        """Time to ask again."""
        return self.elapsed_s(ctx) >= self.options.retry_s

    def inspected(self, ctx: ScanContext) -> bool:
        """The inspection has a durable result."""
        return bool(self.inspect_done)

    def gone_by_hand(self, ctx: ScanContext) -> bool:
        """Recorded as released, but nothing lies there."""
        return self.is_durable(ctx) and self._recovered and not self.part_present

    def clamp_released(self, ctx: ScanContext) -> bool:
        """The clamp is open."""
        return bool(self.clamp_open)

    def part_left(self, ctx: ScanContext) -> bool:
        """The blade is off the stop."""
        return not self.part_present

    # --- actions ----------------------------------------------------------------------------------

    def record_part(self, ctx: ScanContext) -> None:
        """Give the blade its number; durable before anything is done to it."""
        self.parts += 1
        # Not the retained counter: a cold start sets it back, and a number must not come twice.
        self._part = f"{ctx.boot_id}-{ctx.cycle:08d}"
        self._serial = self._content = self._verdict = ""
        self._recovered = False
        self.message = "blade arrived"
        self.await_event(ctx, PartArrived, part_id=self._part)

    def give_up(self, ctx: ScanContext) -> None:
        """Close the record of a blade that somebody took away."""
        self._release(ctx, REJECTED, "the blade was gone after a restart")

    def reject_clamp(self, ctx: ScanContext) -> None:
        """A blade that cannot be held is not marked."""
        self._release(ctx, REJECTED, "the clamp did not close")

    def take_mark(self, ctx: ScanContext) -> None:
        """Keep what the station has put on the blade; it forgets when ``mark_start`` falls."""
        self._serial, self._content = self.mark_serial, self.mark_content

    def reject_mark(self, ctx: ScanContext) -> None:
        """A blade whose serial is spent without a mark is scrap for this order."""
        self.take_mark(ctx)
        self._release(ctx, REJECTED, self.mark_error_text or "the marker refused")

    def tell_mark(self, ctx: ScanContext) -> None:
        """Show why the station cannot mark now."""
        self.message = self.mark_error_text

    def decide(self, ctx: ScanContext) -> None:
        """Good only when the camera read what was ordered."""
        good = bool(self.inspect_ok)
        self._release(ctx, GOOD if good else REJECTED, "" if good else self.inspect_reason)

    def _release(self, ctx: ScanContext, verdict: str, reason: str) -> None:
        self._verdict = verdict
        if verdict == GOOD:
            self.good += 1
        else:
            self.rejected += 1
        self.message = clip(f"{verdict}: {reason}" if reason else verdict, 120)
        self.await_event(
            ctx,
            PartReleased,
            part_id=self._part,
            serial=self._serial,
            verdict=verdict,
            reason=reason,
            recovered=self._recovered,
        )

    def record_gone(self, ctx: ScanContext) -> None:
        """The blade has left; the next one may come once this is durable."""
        self.await_event(ctx, PartDeparted, part_id=self._part)

    def forget(self, ctx: ScanContext) -> None:
        """Ready for the next blade."""
        self._part = self._serial = self._content = self._verdict = ""
        self._recovered = False
