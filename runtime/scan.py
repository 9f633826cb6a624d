"""One cycle of the cell: latch, commands, forces, tasks, commit, publish, account.

The scan process calls `Scan.cycle` once a tick; so do tests, with a simulated clock. Nothing here
waits, does I/O or asks the wall clock.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cellwright.io.clock import Clock
from cellwright.io.image import Image
from cellwright.io.messages import (
    AnyEvent,
    CommandRefused,
    FaultRaised,
    MessageError,
    ModeChanged,
    PartDeparted,
    ReplyCode,
    SerialRequested,
    decode_command,
    decode_event,
    encode,
)
from cellwright.io.plan import Plan
from cellwright.io.process_image import LatchResult, ProcessImage
from cellwright.io.rings import RingFull
from cellwright.io.system_tags import CellState
from cellwright.runtime.commands import CommandDesk, RefusalError
from cellwright.runtime.health import unhealthy, unread_input
from cellwright.runtime.jobs import JobDesk
from cellwright.runtime.recorder import Tape
from cellwright.runtime.run_folder import ScanStart
from cellwright.runtime.scheduler import Schedule
from cellwright.runtime.states import RefusedError, Request, step
from cellwright.tasks.api import Program, ScanContext
from cellwright.tasks.station import clip

COMMANDS_PER_CYCLE: Final = 32
"""Commands applied in one cycle; the rest waits, so that a flood cannot make the scan late."""

OWN_TASK: Final = "runtime"
"""Task name in events that the scan itself emits."""

FAULT_BYTES: Final = 1000
"""Longest reason of a fault in an event."""
TAG_BYTES: Final = 200
"""What ``sys.first_fault`` holds of it."""


@dataclass
class Carried:
    """What a scan carries from one cycle to the next, beside its process image."""

    fields: dict[str, Any]
    """The attributes that `Scan.CARRIED` names."""
    jobs: dict[int, Any]
    inboxes: list[Any]
    programs: list[Program[Any]]
    """Empty until the first start."""
    boot_id: str
    events_written: int


class Scan:
    """The scan's state between cycles, and the cycle.

    ``tape`` is told everything that comes from outside. A replay gives its own ``process_image``.
    """

    CARRIED: Final = (
        "_unsent",
        "_open_events",
        "_late_in_a_row",
        "_first_scan",
        "_not_run_yet",
        "_now_ns",
        "_utc_ns",
        "_busy_ns",
        "_slow_cycles",
        "cycle_number",
        "state",
        "first_fault",
    )

    def __init__(
        self,
        plan: Plan,
        image: Image,
        start: ScanStart,
        clock: Clock,
        programs: Sequence[type[Program[Any]]],
        *,
        tape: Tape | None = None,
        process_image: ProcessImage | None = None,
    ) -> None:
        self._plan = plan
        self._image = image
        self._tape = tape or Tape()
        self._clock = self._tape.clock(clock)
        self._around = self._tape.surroundings(image)
        self.boot_id = start.boot_id
        self.program_classes = programs
        self.schedule = Schedule(plan.tasks, plan.scan.base_ns)
        self._events = image.events["scan"]
        self._unsent: deque[bytes] = deque()
        self._open_events: list[AnyEvent] = [decode_event(data) for data in start.open_events]
        self.process_image = process_image or ProcessImage(image, plan)
        self.process_image.restore(start.retained)
        self._jobs = JobDesk(plan, image, epoch=image.scan.started_ns, tape=self._tape)
        self._commands = CommandDesk(
            plan, self.process_image, image.statistics, self._request, self.emit
        )
        self._tags = {tag.name: tag.index for tag in plan.tags if tag.name.startswith("sys.")}
        self._instances: list[Program[Any]] = []
        self.contexts = [ScanContext(task.name, boot_id=start.boot_id) for task in plan.tasks]
        for task, context in zip(plan.tasks, self.contexts, strict=True):
            context._emit = self.emit
            context._submit = self._jobs.submitter(task.index)
        self._late_in_a_row = [0] * len(plan.tasks)
        self._first_scan = False
        self._not_run_yet = [False] * len(plan.tasks)
        self._latched: LatchResult | None = None
        self._now_ns = 0
        self._utc_ns = 0
        self._busy_ns = 0
        self._slow_cycles = 0
        self.cycle_number = 0
        self.state = CellState.INIT
        self.first_fault = ""
        # What a predecessor left: its fault is not ours, and a kill may have torn a record.
        image.scan.fault_code = image.scan.fault_text = ""
        image.statistics.repair()
        self._refuse_old_commands()
        self._tape.attach(self)

    def _refuse_old_commands(self) -> None:
        """What was asked of a predecessor is not done by its successor, least of all a start."""
        ring = self._image.commands
        while waiting := ring.receive(COMMANDS_PER_CYCLE):
            for ticket, _ in waiting:
                ring.reply(
                    ticket, ReplyCode.INVALID_STATE, "the scan was restarted meanwhile; ask again"
                )

    # --- the cycle ----------------------------------------------------------------------------

    def cycle(self, tick: int, now_ns: int, utc_ns: int) -> None:
        """Run one cycle. ``now_ns`` and ``utc_ns`` are its start and hold for all of it."""
        self.cycle_number += 1
        self._now_ns = now_ns
        self._utc_ns = utc_ns
        image = self.process_image
        self._latched = image.latch(now_ns, utc_ns)
        self._tape.latched()
        self._around.latch(now_ns)
        if self.state is CellState.INIT:
            self._request(Request.READY, "scan", "attached to the image", "")
        self._watch_surroundings(now_ns)
        self._apply_commands()
        self._write_system_tags(tick, now_ns)
        image.overlay()
        if self.state is CellState.RUN:
            self._run_tasks(tick, now_ns, utc_ns)
        self._write_state_tags()
        image.overlay()
        image.commit(self.cycle_number, self.state is CellState.RUN)
        self._flush_events()
        status = self._image.scan
        status.state = self.state
        status.cycle = self.cycle_number
        image.publish(self.cycle_number, now_ns, utc_ns)
        self._busy_ns = self._clock.now_ns() - now_ns
        self._tape.settled(self.cycle_number, tick, now_ns, utc_ns)

    def end(self) -> None:
        """Leave RUN in order and take the outputs away; the process is about to end."""
        if self.state is CellState.RUN:
            self._request(Request.STOP, "supervisor", "the scan process ends", "")
        self._flush_events()
        self._image.scan.state = self.state
        self.process_image.commit(self.cycle_number + 1, enabled=False)

    def _run_tasks(self, tick: int, now_ns: int, utc_ns: int) -> None:
        clock_now = self._clock.now_ns
        statistics = self._image.statistics
        durable = self._around.durable
        emitted = self._emitted
        for index in self.schedule.due(tick):
            task = self._plan.tasks[index]
            context = self.contexts[index]
            context.cycle = self.cycle_number
            context.now_ns = now_ns
            context.utc_ns = utc_ns
            context.durable = durable
            context.emitted = emitted
            context.first_scan = self._not_run_yet[index]
            context.inbox = self._commands.take_inbox(index)
            context.results = self._jobs.take_results(index)
            begin = clock_now()
            try:
                self._instances[index].scan(context)
            except Exception as error:  # noqa: BLE001 - the task's outermost edge
                self._task_failed(task.name, error)
                return
            self._not_run_yet[index] = False
            took = clock_now() - begin
            late = took > task.watchdog_ns
            statistics.record(
                index,
                begin - now_ns,
                took,
                overruns=int(took > task.interval_ns),
                watchdog_hits=int(late),
            )
            if self._tripped(index, took, late):
                return

    def _tripped(self, index: int, took_ns: int, late: bool) -> bool:
        task = self._plan.tasks[index]
        if not late:
            self._late_in_a_row[index] = 0
            return False
        self._late_in_a_row[index] += 1
        if self._late_in_a_row[index] < task.watchdog_sensitivity:
            return False
        self._late_in_a_row[index] = 0
        self.fault(
            "task_watchdog",
            f"task '{task.name}' ran {took_ns / 1e6:.3f} ms, its watchdog allows "
            f"{task.watchdog_ns / 1e6:.3f} ms; shorten the program or raise the watchdog",
        )
        return True

    def _task_failed(self, name: str, error: Exception) -> None:
        # Not `extract_tb`, which reads source files.
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        self.fault(
            "task_exception",
            f"task '{name}' raised {_described(error)} "
            f"({frame.f_code.co_filename}:{line}); mend the program, then reset",
        )

    # --- surroundings -------------------------------------------------------------------------

    def _watch_surroundings(self, now_ns: int) -> None:
        self._jobs.latch()
        slow = self._busy_ns > self._plan.scan.watchdog_ns
        self._slow_cycles = self._slow_cycles + 1 if slow else 0
        if self.state is CellState.RUN:
            trouble = self._unhealthy()
            if trouble:
                self.fault("surroundings", trouble)
            elif self._slow_cycles >= self._plan.scan.watchdog_sensitivity:
                self._slow_cycles = 0
                self.fault(
                    "scan_watchdog",
                    f"the scan took {self._busy_ns / 1e6:.3f} ms, its watchdog allows "
                    f"{self._plan.scan.watchdog_ns / 1e6:.3f} ms; give the tasks less to do or "
                    f"the scan more time",
                )

    def _unhealthy(self) -> str:
        """Why outputs must not be driven now, or an empty string."""
        assert self._latched is not None
        return unhealthy(self._plan, self._latched, self._around, len(self._unsent))

    # --- requests and commands ------------------------------------------------------------------

    def _request(self, request: Request, actor: str, reason: str, fault: str) -> None:
        """Step the state machine; raises RefusedError."""
        trouble = ""
        if request in (Request.START, Request.RESET):
            trouble = self._unhealthy() or unread_input(self._plan, self.process_image)
        old = self.state
        new = step(old, request, trouble)
        if new is old:
            return
        self.state = new
        if request is Request.RESET:
            self.first_fault = ""
            self._image.scan.fault_code = self._image.scan.fault_text = ""
        self.emit(
            ModeChanged(
                task=OWN_TASK,
                utc_ns=self._utc_ns,
                cycle=self.cycle_number,
                old=old.name,
                new=self.state.name,
                actor=actor,
                reason=fault or reason,
            )
        )
        if new is CellState.RUN and not self._start_programs():
            raise RefusedError(self.first_fault)

    def fault(self, code: str, text: str) -> None:
        """Go to FAULT; outputs fall to their safe state in this same cycle."""
        text = clip(text.encode(errors="backslashreplace").decode(), FAULT_BYTES)
        already = self.state is CellState.FAULT
        self.emit(
            FaultRaised(
                task=OWN_TASK, utc_ns=self._utc_ns, cycle=self.cycle_number, code=code, text=text
            )
        )
        self._request(Request.FAULT, "scan", text, text)
        if not already and not self.first_fault:
            self.first_fault = text
            self._image.scan.fault_code = code
            self._image.scan.fault_text = text

    def _start_programs(self) -> bool:
        """Warm start: fresh programs, retained values kept, open parts handed to `recover`.

        False when one of them raised; the cell is in FAULT then.
        """
        self.process_image.reset_volatile()
        self._instances = []
        self._first_scan = True
        self._not_run_yet = [True] * len(self._plan.tasks)
        self._late_in_a_row = [0] * len(self._plan.tasks)
        for task, context in zip(self._plan.tasks, self.contexts, strict=True):
            context.now_ns = self._now_ns
            context.utc_ns = self._utc_ns
            context.cycle = self.cycle_number
            context.durable = self._around.durable
            context.emitted = self._emitted
            try:
                program = self.new_program(task.index)
                program.recover([e for e in self._open_events if e.task == task.name], context)
            except Exception as error:  # noqa: BLE001 - the program's outermost edge
                self._task_failed(task.name, error)
                return False
            self._instances.append(program)
        return True

    def _apply_commands(self) -> None:
        ring = self._image.commands
        for ticket, data in ring.receive(COMMANDS_PER_CYCLE):
            self._tape.command(data)
            try:
                command = decode_command(data)
            except (MessageError, RecursionError) as error:
                ring.reply(ticket, ReplyCode.MALFORMED, str(error))
                continue
            try:
                self._commands.apply(command, self._utc_ns, self.cycle_number)
            except (RefusalError, RefusedError) as error:
                code = error.code if isinstance(error, RefusalError) else ReplyCode.INVALID_STATE
                ring.reply(ticket, code, str(error))
                self.emit(
                    CommandRefused(
                        task=OWN_TASK,
                        utc_ns=self._utc_ns,
                        cycle=self.cycle_number,
                        command=type(command).__name__,
                        actor=command.actor,
                        why=str(error),
                    )
                )
            else:
                ring.reply(ticket, ReplyCode.OK, "")

    # --- events ---------------------------------------------------------------------------------

    def emit(self, event: AnyEvent) -> int:
        """Put an event on its way to the journal; the number is reached by ``durable`` later.

        Raises ValueError when the event is longer than the ring takes.
        """
        data = encode(event)
        if len(data) > self._events.longest:
            raise ValueError(
                f"a {type(event).__name__} of {len(data)} bytes is longer than the "
                f"{self._events.longest} that the journal takes; say less in it"
            )
        if isinstance(event, PartDeparted):
            self._open_events.clear()
        elif isinstance(event, SerialRequested) and self._asked_before(event):
            pass  # a blade may wait for work for days, and asks every few seconds
        elif hasattr(event, "part_id"):
            self._open_events.append(event)
        self._tape.said(data)
        self._unsent.append(data)
        self._flush_events()
        return self._emitted

    @property
    def _emitted(self) -> int:
        return self._events.written + len(self._unsent)

    def _asked_before(self, event: SerialRequested) -> bool:
        return any(
            isinstance(known, SerialRequested) and known.part_id == event.part_id
            for known in self._open_events
        )

    def _flush_events(self) -> None:
        while self._unsent:
            try:
                self._events.put(self._unsent[0])
            except RingFull:
                self._tape.events_refused(self._events.written)
                return
            self._unsent.popleft()

    # --- recording and replay -------------------------------------------------------------------

    def carried(self) -> Carried:
        """What the next cycle goes on from; nothing is copied. Between cycles only."""
        return Carried(
            {name: getattr(self, name) for name in self.CARRIED},
            self._jobs.carried(),
            self._commands.inboxes,
            self._instances,
            self.boot_id,
            self._events.written,
        )

    def carry_on(self, carried: Carried) -> None:
        """Go on from what another scan with this plan carried; the process image is resumed apart.

        The state of each program is taken over by a new instance of this scan's class for it.
        """
        for name in self.CARRIED:
            setattr(self, name, carried.fields[name])
        self._jobs.carry_on(carried.jobs)
        self._commands.inboxes = carried.inboxes
        self._instances = carried.programs

    def new_program(self, task: int) -> Program[Any]:
        """A program of that task as a start makes it, not yet recovered."""
        kind, one = self.program_classes[task], self._plan.tasks[task]
        options = kind.Options.model_validate(one.options)
        return kind(self.process_image, one.binding, options)

    # --- system tags ----------------------------------------------------------------------------

    def _write_system_tags(self, tick: int, now_ns: int) -> None:
        put, tags = self.process_image.set, self._tags
        base = self._plan.scan.base_ns
        put(tags["sys.cycle"], self.cycle_number)
        put(tags["sys.elapsed"], tick + 1)
        put(tags["sys.skipped"], self._around.skipped_ticks)
        put(tags["sys.first_scan"], self._first_scan and self.state is CellState.RUN)
        self._first_scan = False
        put(tags["sys.clock_1s"], now_ns % 1_000_000_000 < 500_000_000)
        put(tags["sys.clock_100ms"], now_ns % 100_000_000 < 50_000_000)
        put(tags["sys.load"], 100.0 * self._busy_ns / base)
        put(tags["sys.journal_ok"], self._around.journal_ok)
        put(tags["sys.gateway_alive"], self._around.gateway_alive)
        put(tags["sys.degraded"], self._around.degraded)

    def _write_state_tags(self) -> None:
        put, tags = self.process_image.set, self._tags
        put(tags["sys.state"], int(self.state))
        put(tags["sys.forces_active"], bool(self.process_image.forced))
        put(tags["sys.first_fault"], clip(self.first_fault, TAG_BYTES))


def _described(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an author's exception may be broken itself
        return f"{type(error).__name__} (which cannot say why)"
