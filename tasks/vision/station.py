"""The vision station: reads a mark back, compares it with what was ordered, gives the verdict.

Runs in the scan; the worker (`cellwright.tasks.vision.worker`) owns the camera and the reader.
``done`` comes only when the verdict is durable, so that a part is never released on an unrecorded
one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from pydantic import Field

from cellwright.io.messages import AnyEvent, InspectionCompleted
from cellwright.tasks.api import (
    BOOL,
    INT,
    STRING,
    UDINT,
    Input,
    Output,
    ProgramOptions,
    Retained,
    ScanContext,
    TableStation,
    Transition,
    clip,
)

REMEMBERED_PARTS: Final = 64

OK: Final = "ok"
NOT_OK: Final = "not_ok"
NOT_DECIDABLE: Final = "not_decidable"


class VisionOptions(ProgramOptions):
    """Options of ``vision.station``."""

    camera: str
    """Name of the camera."""
    station: str = ""
    """Name of the station in the records; the task's name when empty."""
    max_module_errors: int = Field(0, ge=0)
    """Modules that may differ from the ordered symbol."""
    min_unused_error_correction: float = Field(0.0, ge=0, le=1)
    """Least unused error correction (ISO/IEC 15415: 0.62 is grade 4, 0.25 grade 1)."""
    captures: int = Field(2, ge=1, le=10)
    """Frames taken at most while the verdict is not decidable."""
    capture_timeout_s: float = Field(1.0, gt=0)
    """Longest wait for one frame."""
    inspect_timeout_s: float = Field(15.0, gt=0)
    """Longest wait for the worker; afterwards the verdict is not_decidable."""
    keep_rejected: int = Field(50, ge=0)
    """Frames of parts that are not ok kept in ``frames/`` of the data folder; the oldest go."""


class VisionStep(IntEnum):
    """Step as published in the variable ``step``."""

    IDLE = 0
    INSPECTING = 1
    REPORTING = 2
    DONE = 3


class VisionStation(TableStation[VisionOptions]):
    """Inspects one part at a time. ``start`` stays TRUE until ``done`` was seen.

    Whatever goes wrong gives the verdict ``not_decidable`` with a reason; ``ok`` is TRUE only
    together with ``done`` and the verdict ``ok``. Taking ``start`` away before the verdict is
    there ends the inspection without one.
    """

    Options = VisionOptions
    worker = "cellwright.tasks.vision.worker:VisionWorker"
    Step = VisionStep

    start = Input(BOOL, description="Inspect the part; hold until done")
    part_id = Input(STRING(40), description="The part in front of the camera")
    serial = Input(STRING(40), description="Serial of the part")
    expected = Input(STRING(200), description="What the symbol should hold")

    busy = Output(BOOL, description="An inspection is under way")
    done = Output(BOOL, description="The verdict is there and durable")
    ok = Output(BOOL, description="The verdict is ok")
    verdict = Output(STRING(16), description="ok, not_ok or not_decidable")
    read = Output(STRING(200), description="What was read; empty when nothing was")
    reason = Output(STRING(120), description="Why the verdict is not ok")
    step = Output(INT, description="0 idle, 1 inspecting, 2 reporting, 3 done")

    passed = Retained(UDINT, description="Verdicts ok")
    rejected = Retained(UDINT, description="Verdicts not_ok")
    undecided = Retained(UDINT, description="Verdicts not_decidable")

    table = (
        Transition(VisionStep.IDLE, "inspected_part_starts", "show_again", VisionStep.DONE),
        Transition(VisionStep.IDLE, "part_starts", "inspect", VisionStep.INSPECTING),
        Transition(VisionStep.INSPECTING, "withdrawn", "clear", VisionStep.IDLE),
        Transition(VisionStep.INSPECTING, "job_succeeded", "report", VisionStep.REPORTING),
        Transition(VisionStep.INSPECTING, "job_failed", "report_failure", VisionStep.REPORTING),
        Transition(VisionStep.INSPECTING, "overdue", "report_overdue", VisionStep.REPORTING),
        Transition(VisionStep.REPORTING, "is_durable", "", VisionStep.DONE),
        Transition(VisionStep.DONE, "withdrawn", "clear", VisionStep.IDLE),
    )

    def __init__(self, image: Any, binding: Any, options: VisionOptions) -> None:
        super().__init__(image, binding, options)
        self._order = ("", "", "")
        self._verdicts: OrderedDict[tuple[str, str, str], tuple[str, str, str]] = OrderedDict()

    @classmethod
    def validate(
        cls, options: VisionOptions, plan_folder: str, devices: Mapping[str, str]
    ) -> list[str]:
        """The camera must exist."""
        kind = devices.get(options.camera)
        if kind is None:
            return [f"camera: no device is called '{options.camera}'; declare it"]
        if kind != "camera":
            return [f"camera: device '{options.camera}' is a {kind}, not a camera"]
        return []

    def recover(self, events: Sequence[AnyEvent], ctx: ScanContext) -> None:
        """Verdicts that were given stand; no part is inspected twice for the records."""
        self.restart_table(ctx)
        for event in events:
            if isinstance(event, InspectionCompleted):
                self._remember(
                    (event.part_id, event.serial, event.expected),
                    (event.verdict, event.read, event.reason),
                )

    def scan(self, ctx: ScanContext) -> None:
        """Step the table and publish the state."""
        self.step_table(ctx)
        state = self._state
        self.step = int(state)
        self.busy = state in {VisionStep.INSPECTING, VisionStep.REPORTING}
        self.done = state is VisionStep.DONE
        self.ok = state is VisionStep.DONE and self.verdict == OK

    # --- guards ----------------------------------------------------------------------------------

    def _ordered(self) -> tuple[str, str, str]:
        return self.part_id, self.serial, self.expected

    def part_starts(self, ctx: ScanContext) -> bool:
        """A part is to be inspected for which no verdict was given."""
        return bool(self.start and self.part_id) and self._ordered() not in self._verdicts

    def inspected_part_starts(self, ctx: ScanContext) -> bool:
        """The same order was inspected before, and the verdict is durable."""
        return bool(self.start) and self._ordered() in self._verdicts and self.is_durable(ctx)

    def withdrawn(self, ctx: ScanContext) -> bool:
        """The order was taken back or is another one now."""
        return not self.start or self._ordered() != self._order

    def overdue(self, ctx: ScanContext) -> bool:
        """No answer within ``inspect_timeout_s``."""
        return self.elapsed_s(ctx) >= self.options.inspect_timeout_s

    # --- actions ---------------------------------------------------------------------------------

    def _remember(self, order: tuple[str, str, str], found: tuple[str, str, str]) -> None:
        self._verdicts[order] = found
        self._verdicts.move_to_end(order)
        while len(self._verdicts) > REMEMBERED_PARTS:
            self._verdicts.popitem(last=False)

    def clear(self, ctx: ScanContext) -> None:
        """Forget the part."""
        self.forget_job()
        self._order = ("", "", "")
        self.verdict = self.read = self.reason = ""

    def inspect(self, ctx: ScanContext) -> None:
        """Have a frame taken and judged."""
        self.clear(ctx)
        self._order = self._ordered()
        part_id, serial, expected = self._order
        self.await_job(ctx, "inspect", part_id=part_id, serial=serial, expected=expected)

    def show_again(self, ctx: ScanContext) -> None:
        """Publish the verdict that the part already has."""
        self.clear(ctx)
        self._order = self._ordered()
        self.verdict, self.read, self.reason = self._verdicts[self._order]

    def _report(self, ctx: ScanContext, body: Mapping[str, Any], duration_ms: float = 0.0) -> None:
        part_id, serial, expected = self._order
        verdict = str(body["verdict"])
        if verdict not in {OK, NOT_OK}:
            verdict = NOT_DECIDABLE
        read, reason = clip(str(body.get("read", "")), 200), clip(str(body.get("reason", "")), 120)
        self.verdict, self.read, self.reason = verdict, read, reason
        if verdict == OK:
            self.passed += 1
        elif verdict == NOT_OK:
            self.rejected += 1
        else:
            self.undecided += 1
        self.forget_job()
        self._remember(self._order, (verdict, read, reason))
        uec, errors = body.get("unused_error_correction"), body.get("module_errors")
        self.await_event(
            ctx,
            InspectionCompleted,
            part_id=part_id,
            station=self.options.station or ctx.task,
            serial=serial,
            expected=expected,
            read=read,
            verdict=verdict,
            reason=reason,
            unused_error_correction=None if uec is None else float(uec),
            module_errors=None if errors is None else int(errors),
            duration_ms=duration_ms,
            frame=int(body.get("frame", 0)),
        )

    def report(self, ctx: ScanContext) -> None:
        """Record the worker's verdict."""
        self._report(ctx, self.result.body, self.result.duration_ms)

    def report_failure(self, ctx: ScanContext) -> None:
        """No frame, or the worker ended: there is no verdict on the mark."""
        body = {"verdict": NOT_DECIDABLE, "reason": self.result.error}
        self._report(ctx, body, self.result.duration_ms)

    def report_overdue(self, ctx: ScanContext) -> None:
        """The worker does not answer."""
        reason = f"no answer of the inspection within {self.options.inspect_timeout_s:g} s"
        self._report(ctx, {"verdict": NOT_DECIDABLE, "reason": reason})
