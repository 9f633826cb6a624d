"""Starts the processes of a cell in order, keeps them alive, and stops them in order.

The supervisor owns the run folder and the data folder's lock. It decides nothing about parts; it
sees to it that a scan that died comes back in STOP, and that everything else comes back by itself.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from cellwright.io.files.replace import replace_file
from cellwright.io.image import Image, ImageError, RingError
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.image.status import ProcessState
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader
from cellwright.io.journal.retain import RetainError, RetainStore, fit
from cellwright.io.journal.writer import JournalWriter
from cellwright.io.messages import (
    FaultRaised,
    SetMode,
    encode,
)
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import CellState, Plan, Value
from cellwright.io.plan import plan as plans
from cellwright.io.timing.clock import MonotonicClock
from cellwright.native import lib
from cellwright.runtime.cell.lock import CellLock, RunError
from cellwright.runtime.cell.run_folder import RunFolder, folder_for
from cellwright.runtime.realtime.grants import acquire_for_supervisor
from cellwright.runtime.supervision import port_check
from cellwright.runtime.supervision.child import BACKOFF_FIRST_S, Child, CoreWait
from cellwright.runtime.supervision.crash_loops import CrashLoops
from cellwright.runtime.supervision.handover import emitted_change, open_events
from cellwright.runtime.supervision.places import Places
from cellwright.runtime.supervision.signals import end_on_signals
from cellwright.runtime.supervision.unsaved_events import take_over, unsaved

POLL_S: Final = 0.01
SILENCE_NS: Final = {
    "scan": 1_000_000_000,
    "journal": 15_000_000_000,
    "recorder": 15_000_000_000,
    "gateway": 15_000_000_000,
    "web": 15_000_000_000,
}
"""A process that has not beaten for so long hangs and is killed."""
WORKER_SILENCE_NS: Final = 300_000_000_000
"""A worker does not beat during a job, and a mark may take long; programs give up before."""
DRIVER_SILENCE_NS: Final = 2_000_000_000
OWN_STALL_NS: Final = 250_000_000
"""A pause longer by so much: the supervisor stood still itself, maybe with the whole machine."""
START_GRACE_NS: Final = 20_000_000_000
"""How long the supervisor tries to start the cell once all its processes work."""
BACKOFF_LAST_S: Final = 5.0
STEADY_S: Final = 0.5
"""A process that has beaten for so long begins again with the shortest pause."""
DETAIL_BYTES: Final = 120
"""What the process table holds of a reason."""
STOP_S: Final = 5.0
REMEDY: Final = "make room on the disk of the data folder"


class Supervisor:
    """The processes of one cell."""

    def __init__(self, plan: Plan, report: Callable[[str], None]) -> None:
        self._plan = plan
        self._listener = report
        self._data = Path(plan.data)
        self.folder = RunFolder(folder_for(plan))
        # Two locks: a data folder that is deleted and made anew takes its lock with it.
        self._locks = (CellLock(self._data), CellLock(self.folder.path))
        self._log = structlog.get_logger(__name__)
        self._stop = False
        self._clean_start = True
        self._reported_state: int = CellState.STOP
        self._started_it = False
        """The next change to RUN is the supervisor's own doing."""
        self._awake_since_ns = time.monotonic_ns()
        self._children: list[Child] = []

    def run(self) -> int:
        """Run the cell until SIGTERM, SIGINT or SIGHUP; 0 after an orderly end. Raises RunError.

        An end that leaves events behind which are not durable is none: 1.
        """
        self._prepare()
        for sentence in port_check.taken(self._plan):
            self._report(f"warning: {sentence}")
        self._log.info("supervisor starts", lacking=acquire_for_supervisor(self._plan.scan))
        try:
            end_on_signals(self._on_signal)
            self._children = self._plan_children()
            for child in self._children:
                self._start(child)
            self._report(f"cell '{self._plan.cell}' is up: {len(self._children)} processes")
            if words := self._plan.simulated:
                self._report(words)
                self._log.warning("not a real cell", devices=words)
            if self._plan.start == "run":
                self._start_by_itself()
            while not self._stop:
                self._watch()
                self._pause(POLL_S)
            self._report("stopping")
            self._shut_down()
            if not unsaved(self._image):
                self._dirty_mark.unlink(missing_ok=True)
        finally:
            try:
                # After an error as well: killed drivers would leave their outputs as they are.
                self._shut_down()
            finally:
                self._kill_rest()
            left = unsaved(self._image)
            self._image.close()
            if left:
                remedy = (
                    REMEDY if self._data.is_dir() else f"bring the data folder {self._data} back"
                )
                self._report(
                    f"{left}: {self.folder.path} keeps them and the retained values for the next "
                    f"start; {remedy}"
                )
            else:
                self.folder.remove()
            self._release()
        return 1 if left else 0

    def _report(self, sentence: str) -> None:
        """Say it to whoever started the cell; that nobody listens any more is no reason to end."""
        try:
            self._listener(sentence)
        except (OSError, SystemExit) as error:  # rich leaves the process on a broken pipe
            self._log.warning("not told", sentence=sentence, error=str(error))

    def _release(self) -> None:
        for lock in self._locks:
            lock.release()

    # --- start ----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        data_lock, run_lock = self._locks
        try:
            _make(self._data, "data", "give the cell a writable one (cell: {data: ...} or --data)")
            data_lock.acquire()
            _make(self.folder.path, "run", "set CELLWRIGHT_RUN to a writable one", 0o700)
            run_lock.acquire()
        except RunError:
            self._release()
            raise
        try:
            if taken := take_over(self.folder, self._data / JOURNAL_FILE, MonotonicClock()):
                self._report(taken)
        except JournalError as error:
            self._release()
            raise RunError(f"{error}; {REMEDY}, then start the cell again") from error
        try:
            JournalWriter(self._data / JOURNAL_FILE).close()
            self._boot_id = secrets.token_hex(4)
            replace_file(self.folder.plan_file, plans.dump(self._plan))
            self._image = Image.create(self.folder.image, self._plan, self._boot_id)
            restored = RetainStore(self._data).load()
            self._dirty_mark = self._data / "running"
            self._clean_start = not self._dirty_mark.exists()
            self._mark_running()
            within_s = self._plan.crash_within_ns / 1e9
            self._crashes = CrashLoops(self._data, self._plan.crash_deaths, within_s, self._report)
        except (OSError, JournalError, RetainError, ImageError) as error:
            self.folder.remove()
            self._release()
            raise RunError(f"the cell cannot keep its records: {error}") from error
        types = {tag.name: tag.type for tag in self._plan.tags if tag.retain}
        fitted = fit(restored, types, self._plan.layout_hash)
        for note in (*restored.notes, *fitted.notes):
            self._report(note)
        self._retained: dict[str, Value] = fitted.values
        self._commands = CommandClient(self._image)
        self._image.processes["supervisor"].pid = os.getpid()
        self._places = Places(
            self._data,
            self.folder,
            self._locks,
            report=self._report,
            record=self._record,
            mark=self._mark_running,
        )

    def _mark_running(self) -> None:
        """Who finds this file at a start knows that the last end was none in order."""
        self._dirty_mark.write_text(f"{os.getpid()}\n")

    def _plan_children(self) -> list[Child]:
        module, scan = "cellwright.runtime.processes.", self._plan.scan
        children = [
            Child(name, module + name, (), SILENCE_NS[name]) for name in ("journal", "recorder")
        ]
        children += [
            Child(
                f"device:{device.name}",
                module + "driver",
                ("--device", device.name),
                DRIVER_SILENCE_NS,
            )
            for device in self._plan.devices
            if device.kind == "driver"
        ]
        children += [
            Child(
                f"worker:{task.name}", module + "worker", ("--task", task.name), WORKER_SILENCE_NS
            )
            for task in self._plan.tasks
            if task.worker is not None
        ]
        # A slow beat is no silence, nor is a cycle that its watchdog allows.
        silence_ns = max(SILENCE_NS["scan"], 2 * scan.base_ns + scan.watchdog_ns)
        children.append(
            Child("scan", module + "scan", (), silence_ns, before=self._leave_scan_start)
        )
        if self._plan.opcua or self._plan.database is not None or self._plan.metrics:
            children.append(Child("gateway", module + "gateway", (), SILENCE_NS["gateway"]))
        for number in range(1, self._plan.web.workers + 1 if self._plan.web else 1):
            arguments = ("--worker", str(number))
            children.append(Child(f"web:{number}", module + "web", arguments, SILENCE_NS["web"]))
        return children

    def _start(self, child: Child) -> None:
        try:
            child.before()
        except (JournalError, RingError, OSError) as error:
            self._not_yet(child, error)
            return
        slot = self._image.processes[child.name]
        slot.restarts = child.restarts
        arguments = list(child.arguments)
        if child.name.startswith("worker:"):
            arguments += ["--incarnation", str(child.restarts)]
        now_ns = time.monotonic_ns()
        child.started_at = now_ns / 1e9
        child.working_since = None
        child.killed = False
        slot.beat_ns = now_ns
        try:
            child.popen = subprocess.Popen(
                [sys.executable, "-m", child.module, "--run", str(self.folder.path), *arguments],
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            self._not_yet(child, error)
            return
        slot.pid = child.popen.pid
        slot.state = ProcessState.RUNNING
        self._log.info("process started", name=child.name, pid=child.popen.pid)

    def _not_yet(self, child: Child, error: Exception) -> None:
        self._report(f"process '{child.name}' cannot be started yet: {error}")
        child.due_at = time.monotonic() + BACKOFF_LAST_S

    def _leave_scan_start(self) -> None:
        """Write what the next scan must know: retained values and the part in the cell."""
        scan = next(child for child in self._children if child.name == "scan")
        restarted = scan.restarts > 0
        if restarted:
            reader = self._image.snapshot_reader()
            if reader.read():
                self._retained = {
                    tag.name: reader.kept_value(tag.index) for tag in self._plan.tags if tag.retain
                }
        # First the ring, then the journal: what moves from one to the other meanwhile is in both.
        pending = self._pending_events() if restarted else []
        with JournalReader(self._data / JOURNAL_FILE) as journal:
            events = open_events(journal, pending)
            reported = emitted_change(journal, pending) if restarted else ""
        self.folder.write_start(
            ScanStart(
                boot_id=f"{self._boot_id}{scan.restarts:02x}",
                retained=self._retained,
                open_events=[encode(event) for event in events],
                restarted=restarted,
                notes=[],
                told_change=reported,
            )
        )

    def _pending_events(self) -> list[bytes]:
        """What the dead scan had put on its ring and the journal has not taken yet."""
        ring = self._image.events["scan"]
        pending = [data for _, data in ring.peek()]
        waiting = ring.written - ring.acknowledged
        if waiting > len(pending):
            raise JournalError(f"{waiting} events of the scan wait for the journal")
        return pending

    def _start_by_itself(self) -> None:
        if self._crashes.reason:
            self._report(
                f"the cell waits in STOP: {self._crashes.reason}; check its log, then "
                "'cellwright start'"
            )
            return
        if not self._clean_start:
            self._report(
                "the cell was not shut down in order last time: it waits in STOP; "
                "check it, then 'cellwright start'"
            )
            return
        self._await_scan()
        scan = next(child for child in self._children if child.name == "scan")
        reason = "the scan does not respond"
        deadline = time.monotonic() + START_GRACE_NS / 1e9
        while not self._stop and scan.restarts == 0 and time.monotonic() < deadline:
            if not all(map(self._up_or_restarted, self._children)):
                deadline = time.monotonic() + START_GRACE_NS / 1e9
            if self._crashes.reason:
                reason = self._crashes.reason
                break
            try:
                self._started_it = True
                self._commands.send(
                    SetMode(request="start", actor="supervisor", reason="configured start: run")
                )
            except CommandFailed as error:
                self._started_it = False
                reason = str(error)
                if self._image.scan.state == CellState.FAULT:
                    break
                self._watch()
                self._pause(0.5)
            else:
                return
        if not self._stop:
            state = CellState(self._image.scan.state).name
            self._report(f"the cell stays in {state}: {reason}; after that 'cellwright start'")

    def _await_scan(self) -> None:
        """Until its first cycle, or until it was started again: a start that gets on may last."""
        scan = next(child for child in self._children if child.name == "scan")
        while self._image.scan.cycle == 0 and scan.restarts == 0 and not self._stop:
            self._watch()
            self._pause(POLL_S)

    def _up_or_restarted(self, child: Child) -> bool:
        return self._has_beaten(child) or child.restarts > 0

    # --- watch ----------------------------------------------------------------------------------

    def _pause(self, seconds: float) -> None:
        """Sleep; who was silent during a stall of the supervisor's own is not blamed for it."""
        begin_ns = time.monotonic_ns()
        time.sleep(seconds)
        now_ns = time.monotonic_ns()
        if now_ns - begin_ns > seconds * 1e9 + OWN_STALL_NS:
            self._awake_since_ns = now_ns

    def _watch(self) -> None:
        now = time.monotonic()
        self._image.processes["supervisor"].beat_ns = time.monotonic_ns()
        self._image.supervisor.utc_synchronised = bool(lib.cw_clock_synchronised())
        self._report_state()
        self._places.look(now)
        for child in self._children:
            if child.popen is None:
                if now >= child.due_at:
                    self._start(child)
                continue
            code = child.popen.poll()
            if code is not None:
                self._bury(child, code, now)
            elif not child.killed and self._hangs(child):
                child.killed = True
                self._report(f"process '{child.name}' hangs and is killed")
                self._log.error("process hangs and is killed", name=child.name)
                child.popen.kill()

    def _report_state(self) -> None:
        """Say when the cell has gone to another operating state, and why to FAULT."""
        state = self._image.scan.state
        if state in (self._reported_state, CellState.INIT):
            return
        by_person = state == CellState.RUN and not self._started_it
        if by_person or (self._reported_state, state) == (CellState.FAULT, CellState.STOP):
            self._crashes.acknowledge()
            for child in self._children:
                self._image.processes[child.name].detail = ""
        self._started_it = False
        self._reported_state = state
        text = CellState(state).name
        if state == CellState.FAULT:
            text += (
                f": {self._image.scan.fault_text}; continue with 'cellwright reset' and "
                "'cellwright start'"
            )
        self._report(text)

    def _hangs(self, child: Child) -> bool:
        beat_ns = max(self._image.processes[child.name].beat_ns, self._awake_since_ns)
        self._has_beaten(child)
        return child.hangs(beat_ns, time.monotonic_ns())

    def _has_beaten(self, child: Child) -> bool:
        if child.working_since is None and self._beat_s(child) > child.started_at + 0.001:
            child.working_since = self._beat_s(child)
        return child.working_since is not None

    def _beat_s(self, child: Child) -> float:
        return self._image.processes[child.name].beat_ns / 1e9

    def _bury(self, child: Child, code: int, now: float) -> None:
        """Account for a process that ended by itself and plan its restart."""
        if child.working_since is not None and self._beat_s(child) > child.working_since + STEADY_S:
            child.backoff_s = BACKOFF_FIRST_S
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        loop = self._crashes.died(child.name, now, how)
        child.popen = None
        child.restarts += 1
        child.due_at = now + (self._crashes.pause_s(child.name) if loop else child.backoff_s)
        child.backoff_s = min(BACKOFF_LAST_S, child.backoff_s * 2)
        slot = self._image.processes[child.name]
        slot.pid = 0
        slot.state = ProcessState.CRASH_LOOP if loop else ProcessState.WAITING
        slot.detail = loop.encode()[:DETAIL_BYTES].decode(errors="ignore")
        slot.restarts = child.restarts
        text = f"process '{child.name}' ended ({how}) and is restarted"
        if loop:
            text += f" in {child.due_at - now:g} s; {loop}: no automatic start from now on"
        if child.name == "scan":
            self._image.scan.state = self._reported_state = CellState.STOP
            text += "; the cell waits in STOP for an operator"
        self._report(text)
        self._log.error("process ended", name=child.name, how=how, restarts=child.restarts)
        self._record("crash_loop" if loop else "process_ended", text)

    def _record(self, code: str, text: str) -> None:
        event = FaultRaised(task="supervisor", utc_ns=time.time_ns(), code=code, text=text)
        try:
            self._image.events["supervisor"].put(encode(event))
        except RingError as error:
            self._log.error("event not recorded", error=str(error))

    # --- stop -----------------------------------------------------------------------------------

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop = True

    def _shut_down(self) -> None:
        """Scan first (outputs fall), then who serves it, drivers, and the journal at last."""
        order = ["scan", "web:", "gateway", "worker:", "device:", "recorder", "journal"]
        for prefix in order:
            group = [child for child in self._children if child.name.startswith(prefix)]
            for child in group:
                if child.popen is not None:
                    child.popen.send_signal(signal.SIGCONT)
                    child.popen.terminate()
            deadline = time.monotonic() + STOP_S + self._plan.scan.base_ns / 1e9  # one more cycle
            for child in group:
                self._await_end(child, deadline)

    def _await_end(self, child: Child, deadline: float) -> None:
        if child.popen is None:
            return
        wait = CoreWait(child.popen.pid, time.monotonic_ns())
        while child.popen.poll() is None:
            # It cannot end without a core.
            if time.monotonic() > deadline + wait.look(time.monotonic_ns()) / 1e9:
                self._log.error("process did not stop and is killed", name=child.name)
                child.popen.kill()
                child.popen.wait()
                break
            time.sleep(POLL_S)
        child.popen = None
        self._image.processes[child.name].state = ProcessState.STOPPED

    def _kill_rest(self) -> None:
        for child in self._children:
            if child.popen is not None:
                child.popen.kill()
                child.popen.wait()
                child.popen = None


def _make(folder: Path, kind: str, remedy: str, mode: int = 0o777) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise RunError(f"{kind} folder {folder}: {error.strerror}; {remedy}") from error
