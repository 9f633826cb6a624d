"""The marking station: from a clamped part to a mark whose serial is spent exactly once.

Runs in the scan; the worker (`cellwright.tasks.marking.worker`) talks to the Lua engine and to the
marker. A serial is durable as spent before the marker is started, and for one serial the marker
is started at most once, whatever is killed when.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from cellwright.io.messages import (
    AnyEvent,
    MarkAuthorised,
    MarkCompleted,
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
)
from cellwright.tasks.api import (
    BOOL,
    INT,
    NANOSECONDS,
    STRING,
    UDINT,
    Input,
    Output,
    Retained,
    ScanContext,
    TableStation,
    Transition,
    clip,
)
from cellwright.tasks.marking.options import MarkingOptions, complaints

REMEMBERED_PARTS: Final = 64
"""Parts whose serial the station keeps in mind; a cell holds a handful at a time."""

ACKNOWLEDGED: Final = "acknowledged"
FAILED: Final = "failed"
UNKNOWN: Final = "unknown"


class MarkingStep(IntEnum):
    """Handshake step as published in the variable ``step``."""

    IDLE = 0
    REQUESTING = 1
    RESERVED = 2
    PREPARING = 3
    AUTHORISING = 4
    MARKING = 5
    REPORTING = 6
    DONE = 7
    ERROR = 8


@dataclass(slots=True)
class _Assignment:
    """A serial taken for a part. ``spent`` once marking was authorised."""

    part_id: str
    serial: str
    order: str
    part_number: str
    revision: str
    fields: dict[str, str]
    content: str = ""
    spent: bool = False
    outcome: str = ""


class MarkingStation(TableStation[MarkingOptions]):
    """Marks one part at a time. ``start`` stays TRUE until ``done`` or ``error`` was seen.

    Taking ``start`` away (or changing ``part_id``, or ``abort``) before the marker was started
    ends the attempt with ``error``; afterwards it has no effect. ``done`` with outcome unknown
    leaves the verdict to the inspection. A failed attempt whose serial is not spent may be
    repeated with the same ``part_id`` and takes the same serial.
    """

    Options = MarkingOptions
    worker = "cellwright.tasks.marking.worker:MarkingWorker"
    Step = MarkingStep

    start = Input(BOOL, description="Mark the part; hold until done or error")
    part_id = Input(STRING(40), description="The part in the station, unique for ever")
    abort = Input(BOOL, description="Give up; no effect once the marker was started")
    reset = Input(BOOL, description="Leave the error and, while start is TRUE, try again")

    busy = Output(BOOL, description="An attempt is under way")
    done = Output(BOOL, description="The marker was started; outcome acknowledged or unknown")
    error = Output(BOOL, description="The attempt failed; see error_text")
    error_text = Output(STRING(120), description="Why, for people")
    serial = Output(STRING(40), description="Serial of the part")
    content = Output(STRING(200), description="What the symbol holds")
    order = Output(STRING(40), description="Work order of the part")
    outcome = Output(STRING(16), description="acknowledged, unknown or failed")
    step = Output(INT, description="Handshake step: 0 idle to 8 error, see MarkingStep")

    marked = Retained(UDINT, description="Marks acknowledged by the marker")
    unknown = Retained(UDINT, description="Marks without a certain answer")
    failed = Retained(UDINT, description="Authorised marks that were certainly not made")

    table = (
        Transition(MarkingStep.IDLE, "finished_part_starts", "show_assignment", MarkingStep.DONE),
        Transition(MarkingStep.IDLE, "failed_part_starts", "show_failure", MarkingStep.ERROR),
        Transition(MarkingStep.IDLE, "spent_part_starts", "report_lost", MarkingStep.REPORTING),
        Transition(MarkingStep.IDLE, "reserved_part_starts", "reuse_serial", MarkingStep.RESERVED),
        Transition(MarkingStep.IDLE, "new_part_starts", "request_serial", MarkingStep.REQUESTING),
        Transition(MarkingStep.REQUESTING, "withdrawn", "say_withdrawn", MarkingStep.ERROR),
        Transition(MarkingStep.REQUESTING, "grant_unusable", "say_unusable", MarkingStep.ERROR),
        Transition(MarkingStep.REQUESTING, "granted", "take_serial", MarkingStep.RESERVED),
        Transition(MarkingStep.REQUESTING, "refused", "say_refused", MarkingStep.ERROR),
        Transition(MarkingStep.REQUESTING, "serial_overdue", "say_no_serial", MarkingStep.ERROR),
        Transition(MarkingStep.REQUESTING, "resend_due", "request_again", MarkingStep.REQUESTING),
        Transition(MarkingStep.RESERVED, "withdrawn", "say_withdrawn", MarkingStep.ERROR),
        Transition(MarkingStep.RESERVED, "is_durable", "prepare", MarkingStep.PREPARING),
        Transition(MarkingStep.PREPARING, "withdrawn", "say_withdrawn", MarkingStep.ERROR),
        Transition(MarkingStep.PREPARING, "job_failed", "say_job_error", MarkingStep.ERROR),
        Transition(MarkingStep.PREPARING, "content_unusable", "say_content", MarkingStep.ERROR),
        Transition(MarkingStep.PREPARING, "job_succeeded", "authorise", MarkingStep.AUTHORISING),
        Transition(MarkingStep.PREPARING, "prepare_overdue", "say_overdue", MarkingStep.ERROR),
        Transition(MarkingStep.AUTHORISING, "withdrawn", "report_withdrawn", MarkingStep.REPORTING),
        Transition(MarkingStep.AUTHORISING, "is_durable", "fire", MarkingStep.MARKING),
        Transition(MarkingStep.MARKING, "job_succeeded", "report_outcome", MarkingStep.REPORTING),
        Transition(MarkingStep.MARKING, "job_failed", "report_killed", MarkingStep.REPORTING),
        Transition(MarkingStep.MARKING, "mark_overdue", "report_overdue", MarkingStep.REPORTING),
        Transition(MarkingStep.REPORTING, "failure_durable", "", MarkingStep.ERROR),
        Transition(MarkingStep.REPORTING, "is_durable", "", MarkingStep.DONE),
        Transition(MarkingStep.DONE, "released", "clear", MarkingStep.IDLE),
        Transition(MarkingStep.ERROR, "released", "clear", MarkingStep.IDLE),
        Transition(MarkingStep.ERROR, "reset_pressed", "clear", MarkingStep.IDLE),
    )

    def __init__(self, image: Any, binding: Any, options: MarkingOptions) -> None:
        super().__init__(image, binding, options)
        self._parts: OrderedDict[str, _Assignment] = OrderedDict()
        self._part = ""
        self._sent_ns = 0

    @classmethod
    def validate(
        cls, options: MarkingOptions, plan_folder: str, devices: Mapping[str, str]
    ) -> list[str]:
        """The marker must exist and the template must compile."""
        return complaints(options, plan_folder, devices)

    def recover(self, events: Sequence[AnyEvent], ctx: ScanContext) -> None:
        """Rebuild which serials are reserved and which are spent.

        What this process knows beyond the durable events stays in mind: a serial whose spending
        is still on its way to the journal counts as spent.
        """
        self.restart_table(ctx)
        for event in events:
            match event:
                case SerialAssigned() if not self._is_known(event.part_id, event.serial):
                    self._remember(
                        _Assignment(
                            event.part_id,
                            event.serial,
                            event.order,
                            event.part_number,
                            event.revision,
                            dict(event.fields),
                        )
                    )
                case MarkAuthorised():
                    found = self._parts.get(event.part_id)
                    if found is None or found.serial != event.serial:
                        found = _Assignment(event.part_id, event.serial, "", "", "", {})
                        self._remember(found)
                    found.content = event.content
                    found.spent = True
                case MarkCompleted() if event.part_id in self._parts:
                    self._parts[event.part_id].outcome = event.outcome
                case _:
                    pass

    def scan(self, ctx: ScanContext) -> None:
        """Step the table and publish the state."""
        self.step_table(ctx)
        state = self._state
        self.step = int(state)
        self.busy = MarkingStep.IDLE < state < MarkingStep.DONE
        self.done = state is MarkingStep.DONE
        self.error = state is MarkingStep.ERROR

    def _is_known(self, part_id: str, serial: str) -> bool:
        found = self._parts.get(part_id)
        return found is not None and found.serial == serial

    # --- guards ----------------------------------------------------------------------------------

    def _starting(self) -> _Assignment | None:
        return self._parts.get(self.part_id) if self.start and not self.abort else None

    def finished_part_starts(self, ctx: ScanContext) -> bool:
        """The part was marked, and that is durable."""
        part = self._starting()
        marked = part is not None and part.spent and part.outcome in {ACKNOWLEDGED, UNKNOWN}
        return marked and self.is_durable(ctx)

    def failed_part_starts(self, ctx: ScanContext) -> bool:
        """The part's serial is spent, but it was certainly not marked."""
        part = self._starting()
        return part is not None and part.spent and part.outcome == FAILED

    def spent_part_starts(self, ctx: ScanContext) -> bool:
        """Marking was authorised and nobody knows what became of it."""
        part = self._starting()
        return part is not None and part.spent and not part.outcome

    def reserved_part_starts(self, ctx: ScanContext) -> bool:
        """The part has a serial that is not spent."""
        part = self._starting()
        return part is not None and not part.spent

    def new_part_starts(self, ctx: ScanContext) -> bool:
        """A part without a serial."""
        wanted = bool(self.start and self.part_id and not self.abort)
        return wanted and self.part_id not in self._parts

    def withdrawn(self, ctx: ScanContext) -> bool:
        """The order to mark this part was taken back."""
        return bool(self.abort or not self.start or self.part_id != self._part)

    def released(self, ctx: ScanContext) -> bool:
        """The result was taken note of, or another part is there."""
        return not self.start or self.part_id != self._part

    def reset_pressed(self, ctx: ScanContext) -> bool:
        """The operator or the sequence cleared the error, in a later cycle than it came up."""
        return bool(self.reset) and ctx.now_ns > self._entered_ns

    def _grant(self, ctx: ScanContext) -> SerialGranted | None:
        for message in ctx.inbox:
            if isinstance(message, SerialGranted) and message.part_id == self._part:
                return message
        return None

    def _refusal(self, ctx: ScanContext) -> SerialRefused | None:
        for message in ctx.inbox:
            if isinstance(message, SerialRefused) and message.part_id == self._part:
                return message
        return None

    def granted(self, ctx: ScanContext) -> bool:
        """The MES granted a serial for this part."""
        return self._grant(ctx) is not None

    def grant_unusable(self, ctx: ScanContext) -> bool:
        """The granted serial is empty, too long, or known to be spent on another part."""
        grant = self._grant(ctx)
        return grant is not None and bool(self._grant_fault(grant))

    def _grant_fault(self, grant: SerialGranted) -> str:
        if not 1 <= len(grant.serial.encode()) <= 40 or len(grant.order.encode()) > 40:
            return "serial or order is empty or longer than 40 bytes"
        for part in self._parts.values():
            if part.serial == grant.serial and part.part_id != self._part:
                return f"serial {grant.serial} belongs to part {part.part_id}"
        return ""

    def refused(self, ctx: ScanContext) -> bool:
        """The MES has no serial for this part."""
        return self._refusal(ctx) is not None

    def serial_overdue(self, ctx: ScanContext) -> bool:
        """No answer within ``serial_timeout_s``."""
        return self.elapsed_s(ctx) >= self.options.serial_timeout_s

    def resend_due(self, ctx: ScanContext) -> bool:
        """No answer within ``resend_s`` since the last request."""
        return (ctx.now_ns - self._sent_ns) / NANOSECONDS >= self.options.resend_s

    def content_unusable(self, ctx: ScanContext) -> bool:
        """The rendered content does not fit the variable that the inspection compares with."""
        return self.job_succeeded(ctx) and len(str(self.result.body["content"]).encode()) > 200

    def prepare_overdue(self, ctx: ScanContext) -> bool:
        """No answer within ``prepare_timeout_s``."""
        return self.elapsed_s(ctx) >= self.options.prepare_timeout_s

    def mark_overdue(self, ctx: ScanContext) -> bool:
        """No answer within ``mark_timeout_s``."""
        return self.elapsed_s(ctx) >= self.options.mark_timeout_s

    def failure_durable(self, ctx: ScanContext) -> bool:
        """MarkCompleted is durable and says that the mark was not made."""
        return self.is_durable(ctx) and self._current.outcome == FAILED

    # --- actions ---------------------------------------------------------------------------------

    @property
    def _current(self) -> _Assignment:
        return self._parts[self._part]

    def _station(self, ctx: ScanContext) -> str:
        return self.options.station or ctx.task

    def _remember(self, assignment: _Assignment) -> None:
        self._parts.pop(assignment.part_id, None)
        self._parts[assignment.part_id] = assignment
        while len(self._parts) > REMEMBERED_PARTS:
            self._parts.popitem(last=False)

    def _say(self, text: str) -> None:
        self.error_text = clip(text, 120)

    def clear(self, ctx: ScanContext) -> None:
        """Forget the part; its serial stays in mind."""
        self.forget_job()
        self._part = ""
        self.serial = self.order = self.content = self.outcome = self.error_text = ""

    def request_serial(self, ctx: ScanContext) -> None:
        """Ask the MES for a serial."""
        self.clear(ctx)
        self._part = self.part_id
        self.request_again(ctx)

    def request_again(self, ctx: ScanContext) -> None:
        """Repeat the request with the same part_id; the MES answers repeats alike."""
        self._sent_ns = ctx.now_ns
        ctx.emit(SerialRequested, part_id=self._part, station=self._station(ctx))

    def take_serial(self, ctx: ScanContext) -> None:
        """Record the granted serial as this part's."""
        grant = self._grant(ctx)
        assert grant is not None
        assignment = _Assignment(
            self._part,
            grant.serial,
            grant.order,
            grant.part_number,
            grant.revision,
            dict(grant.fields),
        )
        self._remember(assignment)
        self.serial, self.order = grant.serial, grant.order
        self.await_event(
            ctx,
            SerialAssigned,
            part_id=self._part,
            station=self._station(ctx),
            serial=grant.serial,
            order=grant.order,
            part_number=grant.part_number,
            revision=grant.revision,
            fields=assignment.fields,
        )

    def reuse_serial(self, ctx: ScanContext) -> None:
        """Go on with the serial that the part already has."""
        self.show_assignment(ctx)

    def show_assignment(self, ctx: ScanContext) -> None:
        """Publish what is known of the part."""
        self.clear(ctx)
        self._part = self.part_id
        part = self._current
        self.serial, self.order, self.content = part.serial, part.order, part.content
        self.outcome = part.outcome

    def show_failure(self, ctx: ScanContext) -> None:
        """Publish that the serial is spent without a mark."""
        self.show_assignment(ctx)
        self._say(f"serial {self._current.serial} is spent, but the part was not marked")

    def prepare(self, ctx: ScanContext) -> None:
        """Have the content rendered and loaded into the marker."""
        part = self._current
        self.await_job(
            ctx,
            "prepare",
            part_id=part.part_id,
            serial=part.serial,
            order=part.order,
            part_number=part.part_number,
            revision=part.revision,
            fields=part.fields,
            utc_ns=ctx.utc_ns,
        )

    def authorise(self, ctx: ScanContext) -> None:
        """Spend the serial: from the moment that this is durable metal may be marked."""
        part = self._current
        part.content = str(self.result.body["content"])
        part.spent = True
        self.content = part.content
        self.forget_job()
        self.await_event(
            ctx,
            MarkAuthorised,
            part_id=part.part_id,
            station=self._station(ctx),
            serial=part.serial,
            content=part.content,
            device=self.options.marker,
            template=self.options.template,
        )

    def fire(self, ctx: ScanContext) -> None:
        """Start the marker, the only place that does, once for a serial."""
        self.await_job(ctx, "fire", serial=self._current.serial, content=self._current.content)

    def _report(
        self, ctx: ScanContext, outcome: str, detail: str, duration_ms: float = 0.0
    ) -> None:
        part = self._current
        part.outcome = outcome
        self.outcome = outcome
        if outcome == ACKNOWLEDGED:
            self.marked += 1
        elif outcome == FAILED:
            self.failed += 1
            self._say(detail)
        else:
            self.unknown += 1
        self.forget_job()
        self.await_event(
            ctx,
            MarkCompleted,
            part_id=part.part_id,
            station=self._station(ctx),
            serial=part.serial,
            outcome=outcome,
            detail=detail,
            duration_ms=duration_ms,
        )

    def report_outcome(self, ctx: ScanContext) -> None:
        """Record what the marker said."""
        outcome = str(self.result.body.get("outcome"))
        detail = str(self.result.body.get("detail", ""))
        if outcome not in {ACKNOWLEDGED, FAILED}:
            outcome = UNKNOWN
        self._report(ctx, outcome, detail, self.result.duration_ms)

    def report_killed(self, ctx: ScanContext) -> None:
        """The worker ended in the middle: metal may be marked."""
        self._report(ctx, UNKNOWN, self.result.error, self.result.duration_ms)

    def report_overdue(self, ctx: ScanContext) -> None:
        """The worker does not answer: metal may be marked."""
        self._report(ctx, UNKNOWN, f"no answer within {self.options.mark_timeout_s:g} s")

    def report_withdrawn(self, ctx: ScanContext) -> None:
        """The marker was not started, but the serial counts as spent."""
        self._report(ctx, FAILED, "withdrawn before the marker was started")

    def report_lost(self, ctx: ScanContext) -> None:
        """After a restart: the marker may have been started, so it is not started again."""
        self.show_assignment(ctx)
        self._report(ctx, UNKNOWN, "recovered: the station restarted after the serial was spent")

    def say_withdrawn(self, ctx: ScanContext) -> None:
        """Tell that the order was taken back."""
        self.forget_job()
        self._say("withdrawn before marking was authorised; start again to continue")

    def say_unusable(self, ctx: ScanContext) -> None:
        """Tell what is wrong with the grant."""
        grant = self._grant(ctx)
        assert grant is not None
        self._say(f"the MES granted an unusable serial: {self._grant_fault(grant)}")

    def say_refused(self, ctx: ScanContext) -> None:
        """Tell the MES's reason."""
        refusal = self._refusal(ctx)
        assert refusal is not None
        self._say(f"no serial: {refusal.reason}")

    def say_no_serial(self, ctx: ScanContext) -> None:
        """Tell that the MES does not answer."""
        self._say(f"no serial within {self.options.serial_timeout_s:g} s; is the MES running?")

    def say_job_error(self, ctx: ScanContext) -> None:
        """Tell why the content could not be prepared."""
        text = self.result.error
        self.forget_job()
        self._say(text)

    def say_content(self, ctx: ScanContext) -> None:
        """Tell that the content is too long."""
        self.forget_job()
        self._say("the template made a content of more than 200 bytes; shorten it")

    def say_overdue(self, ctx: ScanContext) -> None:
        """Tell that the worker does not answer."""
        self.forget_job()
        self._say(f"not prepared within {self.options.prepare_timeout_s:g} s; check the marker")
