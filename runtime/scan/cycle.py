"""One cycle of the cell: latch, commands, forces, tasks, commit, publish, account.

The scan process calls `Scan.cycle` once a tick; so do tests, with a simulated clock. Nothing here
waits, does I/O or asks the wall clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final

from cellwright.io.image import Image
from cellwright.io.messages import (
    OWN_TASK,
    AnyCommand,
    FaultRaised,
    ForceChanged,
    ModeChanged,
    ReplyCode,
    encode,
)
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import AlarmRule, CellState, Consequence, KeyPosition, Plan
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.io.process_image.results import LatchResult
from cellwright.io.timing.clock import Clock
from cellwright.runtime.scan.alarms.engine import AlarmEngine
from cellwright.runtime.scan.alarms.heartbeats import Heartbeats
from cellwright.runtime.scan.commands import REASON_BYTES, CommandHandler
from cellwright.runtime.scan.cycle_state import CarriesState, CycleTime, ScanState
from cellwright.runtime.scan.execution.execution import Execution
from cellwright.runtime.scan.execution.failure import Failure
from cellwright.runtime.scan.execution.jobs import WorkerJobs
from cellwright.runtime.scan.modes.health import unhealthy, unread_input
from cellwright.runtime.scan.modes.keyswitch import Keyswitch, objection
from cellwright.runtime.scan.modes.peers import Peers
from cellwright.runtime.scan.modes.states import (
    DRIVING,
    STARTS,
    Action,
    Request,
    step,
)
from cellwright.runtime.scan.observer import CycleObserver
from cellwright.runtime.scan.outbox import EventSender
from cellwright.runtime.scan.program_change import ProgramChange
from cellwright.runtime.scan.refusals import RefusedError
from cellwright.runtime.scan.system_tags import SystemTagWriter
from cellwright.tasks.api import Program, clip

COMMANDS_PER_CYCLE: Final = 32
"""Commands applied in one cycle; the rest waits, so that a flood cannot make the scan late."""


_BARRING: Final = {False: (Consequence.STOP, Consequence.FAULT), True: (Consequence.FAULT,)}
"""Consequences of standing alarms that bar a start, and a reset (True)."""


class Scan(CarriesState):
    """The scan's state between cycles, and the cycle.

    ``observer`` sees everything that comes from outside. A replay gives its own ``peers`` and
    ``process_image``.
    """

    CARRIED: ClassVar = (
        "_slow_cycles",
        "_first_scan",
        "_last_scan",
        "_now_ns",
        "_paused_ns",
        "_busy_ns",
        "_key",
        "_fault",
        "_ended_forces",
        "cycle_number",
        "state",
    )

    def __init__(
        self,
        plan: Plan,
        image: Image,
        start: ScanStart,
        clock: Clock,
        programs: Sequence[type[Program[Any]]],
        *,
        observer: CycleObserver | None = None,
        peers: Peers | None = None,
        process_image: ProcessImage | None = None,
    ) -> None:
        self._plan = plan
        self._image = image
        self._observer = observer or CycleObserver()
        self._clock = clock
        self._peers = peers or Peers(image, self._observer)
        self.boot_id = start.boot_id
        self.process_image = process_image or ProcessImage(image, plan)
        self.process_image.restore(start.retained)
        self._outbox = EventSender(image.events["scan"], self._observer, start.open_events)
        self._jobs = WorkerJobs(plan, image, epoch=image.scan.started_ns, observer=self._observer)
        self._moment = CycleTime()
        self._alarms = AlarmEngine(
            plan, self.process_image, self._moment, self._outbox, self._obey_alarm
        )
        self._heartbeats = Heartbeats(plan, self.process_image)
        self.changes = ProgramChange(
            self._outbox.emit,
            lambda: self.state,
            self._mark_changed,
            image.commands.reply,
        )
        self._commands = CommandHandler(
            plan,
            self.process_image,
            image.statistics,
            self._ask_mode,
            self._outbox.emit,
            alarms=self._alarms,
            changes=self.changes,
        )
        self.execution = Execution(
            plan,
            self.process_image,
            image.statistics,
            clock=self._clock,
            outbox=self._outbox,
            jobs=self._jobs,
            commands=self._commands,
            programs=programs,
            boot_id=start.boot_id,
        )
        self._report = SystemTagWriter(plan, self.process_image, simulated=start.simulated)
        self._keyswitch = Keyswitch(plan)
        self._key = self._keyswitch.at_start
        self._latched: LatchResult | None = None
        self._first_scan = self._last_scan = False
        self._now_ns = self._paused_ns = self._busy_ns = 0
        self._slow_cycles = 0
        # Not carried: a replay hears of it as of any other command.
        self._asked: deque[bytes] = deque()
        self._ended_forces = list(self.process_image.ended_forces)
        self._fault: FaultRaised | None = None
        self.cycle_number = 0
        self.state = CellState.INIT
        self.parts = self._parts()
        """Everything that carries something from one cycle to the next, by name."""
        self._clear_after_predecessor()
        self._observer.attach(self.process_image, len(self.execution.contexts))

    def _parts(self) -> Mapping[str, CarriesState]:
        return MappingProxyType(
            {
                "scan": self,
                "outbox": self._outbox,
                "execution": self.execution,
                "calls": self.execution.calls,
                "jobs": self._jobs,
                "commands": self._commands,
                "changes": self.changes,
                "report": self._report,
                "heartbeats": self._heartbeats,
                "alarms": self._alarms,
            }
        )

    def _clear_after_predecessor(self) -> None:
        """A predecessor's fault is not ours, and a kill may have torn a record."""
        status = self._image.scan
        status.fault_code = status.fault_text = ""
        self._image.statistics.repair()
        # Before the first heartbeat: what a dead scan committed counts no longer than that scan.
        self.process_image.commit(0, enabled=False)
        self._refuse_old_commands()

    def _refuse_old_commands(self) -> None:
        """What was asked of a predecessor is not done by its successor, least of all a start."""
        ring = self._image.commands
        while waiting := ring.receive(COMMANDS_PER_CYCLE):
            for ticket, _ in waiting:
                ring.reply(
                    ticket, ReplyCode.INVALID_STATE, "the scan was restarted meanwhile; ask again"
                )

    @property
    def first_fault(self) -> str:
        """Why the cell went to FAULT first since the last reset; empty without a fault."""
        return "" if self._fault is None else self._fault.text

    # --- the cycle ----------------------------------------------------------------------------

    def cycle(self, tick: int, now_ns: int, utc_ns: int) -> None:
        """Run one cycle. ``now_ns`` and ``utc_ns`` are its start and hold for all of it."""
        self.cycle_number += 1
        image = self.process_image
        self._latched = image.latch(now_ns, utc_ns)
        self._observer.latched()
        self._peers.latch(now_ns)
        moment = self._begin(tick, now_ns, utc_ns)
        if self.state is CellState.INIT:
            self._leave_init()
        self._jobs.latch()
        self._watch_surroundings()
        self._apply_commands()
        self._report.before_tasks(
            moment,
            self._peers,
            first_scan=self._first_scan and self.state is CellState.RUN,
            busy_ns=self._busy_ns,
            key=self._key,
        )
        self._first_scan = False
        image.overlay()
        self._watch_key()
        ran = self.state is CellState.RUN
        if ran:
            self._settle(self.execution.run(moment))
        self._heartbeats.cycle(now_ns)
        image.overlay()
        self._alarms.cycle()
        self._report.after_tasks(
            self.state, self._fault, forced=bool(image.forced), last_scan=self._last_scan
        )
        self._last_scan = False
        image.overlay()
        image.commit(self.cycle_number, self.state in DRIVING)
        self._outbox.flush()
        status = self._image.scan
        status.state = self.state
        status.cycle = self.cycle_number
        image.publish(self.cycle_number, now_ns, utc_ns)
        end_ns = self._clock.now_ns()
        self._busy_ns = end_ns - now_ns
        self.execution.settled(end_ns, self._busy_ns, ran=ran)
        self._observer.settled(self.cycle_number, tick, now_ns, utc_ns)

    def _begin(self, tick: int, now_ns: int, utc_ns: int) -> CycleTime:
        if self.state is CellState.PAUSE:
            self._paused_ns += now_ns - self._now_ns
        self._now_ns = now_ns
        moment = self._moment
        moment.cycle = self.cycle_number
        moment.tick = tick
        moment.now_ns = now_ns
        moment.scan_ns = now_ns - self._paused_ns
        moment.utc_ns = utc_ns
        moment.durable = self._peers.durable
        return moment

    def ask(self, command: AnyCommand) -> None:
        """Let the next cycle obey a command of the runtime itself; nobody waits for an answer."""
        self._asked.append(encode(command))

    @property
    def unsent(self) -> int:
        """Events that the journal's ring does not hold yet."""
        return self._outbox.waiting + self._alarms.pending

    def end(self) -> None:
        """Take the outputs away; the process is about to end."""
        self._alarms.emit_rest()
        self._outbox.flush()
        self.process_image.commit(self.cycle_number + 1, enabled=False)

    # --- surroundings -------------------------------------------------------------------------

    def _leave_init(self) -> None:
        self._request(Request.READY, "scan", "attached to the image")
        for tag in self._ended_forces:
            self._outbox.emit(
                ForceChanged(
                    task=OWN_TASK,
                    utc_ns=self._moment.utc_ns,
                    cycle=self.cycle_number,
                    tag=self._plan.tags[tag].name,
                    value=None,
                    actor="scan",
                    reason="the scan process was restarted, which ends all forces",
                )
            )
        self._ended_forces = []

    def _watch_surroundings(self) -> None:
        settings = self._plan.scan
        slow = self._busy_ns > settings.watchdog_ns
        self._slow_cycles = self._slow_cycles + 1 if slow else 0
        if self.state not in DRIVING:
            return
        trouble = self._unhealthy()
        if trouble:
            self.fault("surroundings", trouble)
        elif self._slow_cycles >= settings.watchdog_sensitivity:
            self._slow_cycles = 0
            self.fault(
                "scan_watchdog",
                f"the scan took {self._busy_ns / 1e6:.3f} ms, its watchdog allows "
                f"{settings.watchdog_ns / 1e6:.3f} ms; give the tasks less to do or the scan "
                f"more time",
            )

    def _unhealthy(self) -> str:
        """Why outputs must not be driven now, or an empty string."""
        assert self._latched is not None
        return unhealthy(self._plan, self._latched, self._peers, self._outbox.waiting)

    def _watch_key(self) -> None:
        self._key = self._keyswitch.look(self.process_image)
        if self._key is KeyPosition.STOP and self.state in DRIVING:
            self._settle(
                self._request(Request.STOP, "keyswitch", "the keyswitch was turned to STOP")
            )

    # --- requests -------------------------------------------------------------------------------

    def _ask_mode(self, request: Request, actor: str, reason: str, remote: bool) -> None:
        """What the command handler asks for somebody; raises RefusedError."""
        forbidden = objection(self._key, request, remote=remote)
        if forbidden:
            raise RefusedError(ReplyCode.INVALID_STATE, f"'{request}' refused: {forbidden}")
        failure = self._request(request, actor, reason)
        if failure is not None:
            self._settle(failure)
            raise RefusedError(ReplyCode.INVALID_STATE, self.first_fault)

    def _request(self, request: Request, actor: str, reason: str) -> Failure | None:
        """Step the state machine; what failed in the step. Raises RefusedError."""
        trouble = ""
        if request in STARTS or request is Request.RESET:
            trouble = (
                self._unhealthy()
                or unread_input(self._plan, self.process_image)
                or self._alarms.obstacle(*_BARRING[request is Request.RESET])
            )
        old = self.state
        row = step(old, request, trouble)
        if row.next is old:
            return None
        failure = self._run_last_scan() if row.action is Action.LAST_SCAN else None
        self.state = row.next
        if row.action is Action.FORGET_FAULT:
            self._fault = None
            self._image.scan.fault_code = self._image.scan.fault_text = ""
        self._outbox.emit(
            ModeChanged(
                task=OWN_TASK,
                utc_ns=self._moment.utc_ns,
                cycle=self.cycle_number,
                old=old.name,
                new=row.next.name,
                actor=actor,
                reason=reason,
                request=request,
            )
        )
        if row.action in (Action.START_WARM, Action.START_COLD):
            failure = self._start(cold=row.action is Action.START_COLD)
        return failure

    def _start(self, *, cold: bool) -> Failure | None:
        self.process_image.initialise(retained=cold)
        self._first_scan = True
        return self.execution.start(self._moment)

    def _run_last_scan(self) -> Failure | None:
        self._last_scan = True
        self.process_image.overlay()
        return self.execution.run_last(self._moment)

    def _obey_alarm(self, rule: AlarmRule) -> None:
        """An alarm with a consequence came; a cell that does not drive outputs is left alone."""
        if self.state not in DRIVING:
            return
        text = f"alarm '{rule.name}': {rule.text}"
        if rule.consequence is Consequence.FAULT:
            self.fault("alarm", text, rule.name)
        else:
            self._settle(self._request(Request.STOP, f"alarm {rule.name}", text))

    def _settle(self, failure: Failure | None) -> None:
        if failure is not None:
            self.fault(failure.code, failure.text, failure.task)

    def fault(self, code: str, text: str, culprit: str = "") -> None:
        """Go to FAULT; outputs fall to their safe state in this same cycle.

        ``culprit`` is the task or device at fault, when it is one.
        """
        text = clip(text.encode(errors="backslashreplace").decode(), REASON_BYTES)
        event = FaultRaised(
            task=OWN_TASK,
            utc_ns=self._moment.utc_ns,
            cycle=self.cycle_number,
            code=code,
            text=text,
            culprit=culprit,
        )
        already = self.state is CellState.FAULT
        self._outbox.emit(event)
        self._request(Request.FAULT, "scan", text)
        if not already and self._fault is None:
            self._fault = event
            self._image.scan.fault_code = code
            self._image.scan.fault_text = text

    # --- commands -------------------------------------------------------------------------------

    def _apply_commands(self) -> None:
        room = COMMANDS_PER_CYCLE  # for all of them: a replay gets them all from the ring
        while self._asked:
            room -= 1
            self._obey(self._asked.popleft())
        loaded = self.changes.take_loaded()
        if loaded is not None:
            room -= 1
            self._obey(loaded)
        ring = self._image.commands
        for ticket, data in ring.receive(max(0, room)):
            answer = self._obey(data)
            if answer is None:
                self.changes.answer_later(ticket)
            else:
                ring.reply(ticket, *answer)

    def _obey(self, data: bytes) -> tuple[ReplyCode, str] | None:
        self._observer.command(data)
        return self._commands.obey(data, self._moment.utc_ns, self.cycle_number)

    def _mark_changed(self, tasks: list[str]) -> None:
        self.execution.mark_changed(tasks)

    # --- recording and replay -------------------------------------------------------------------

    def carried_over(self) -> ScanState:
        """What the next cycle goes on from; nothing is copied. Between cycles only."""
        return ScanState(
            {name: part.carried() for name, part in self.parts.items()},
            self.execution.programs,
            self.boot_id,
            self._outbox.written,
        )

    def carry_over(self, carried: ScanState) -> None:
        """Go on from what another scan with this plan carried; the process image is resumed apart.

        The state of each program is taken over by a new instance of this scan's class for it.
        """
        for name, part in self.parts.items():
            part.carry_on(carried.parts[name])
        self.execution.go_on_with(carried.programs)
