"""A whole cell for tests: the example cell in a folder of its own, its plant, its supervisor.

Everything is real: processes, sockets, shared memory, databases. Tests reach in where an engineer
would: the image, the journal, the database, the plant's log, and signals to processes.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prepare import free_port, prepare

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient
from cellwright.io.journal.journal import JournalReader
from cellwright.io.messages import AnyEvent, SetMode
from cellwright.io.plan import CellState, Plan
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders.work_orders import JobOrder, WorkOrderView, get, store_and_start
from cellwright.mes.service.catalogue import open_store
from cellwright.runtime.cell.run_folder import RunFolder, folder_for
from cellwright.runtime.config import compile_file
from plant.process import PlantProcess

PAUSE_S = (0.002, 0.1)
"""Between two looks: at least, and at most four times as long as the look took."""


_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class CellUnderTest:
    """One running cell with its plant; a context manager that ends everything it started."""

    def __init__(
        self,
        folder: Path,
        *,
        parts: int = 0,
        speed: float = 10.0,
        faults: tuple[str, ...] = (),
        start: str = "run",
        edit: Callable[[Any], None] | None = None,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.plant = PlantProcess(parts=parts, speed=speed, faults=faults, folder=folder)
        self.opcua_port = free_port()
        self._start = start
        self._edit = edit
        self.environment: dict[str, str] = {}
        """Beside the test's own, for the processes of the cell."""
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._image: Image | None = None
        self.plan: Plan
        self.run_folder: RunFolder

    # --- life -----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.plant.start()
        try:
            self.file = self.prepare()
            self.plan = compile_file(self.file)
            self.run_folder = RunFolder(folder_for(self.plan))
            self.launch()
        except BaseException:
            self.end()
            raise
        return self

    def prepare(self) -> Path:
        """Write the cell's folder, now that the plant's ports are known; returns its file."""
        return prepare(
            self.folder,
            modbus_port=self.plant.modbus_port,
            marker_port=self.plant.marker_port,
            camera=self.plant.camera,
            opcua_port=self.opcua_port,
            edit=self._configure,
        )

    def _configure(self, cell: Any) -> None:
        cell["cell"]["start"] = self._start
        # Tests kill more often than a cell that is well; that is no crash loop.
        cell["cell"]["crash_loop"] = {"deaths": 1000, "within": "60s"}
        if self._edit is not None:
            self._edit(cell)

    def launch(self) -> None:
        """Start the supervisor and wait until the scan beats."""
        with (self.folder / "supervisor.txt").open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "cellwright.runtime.cli", "run", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                # A test run that is killed takes its cell with it.
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call of C, no locks
            )
        self.until(self._beats, "the scan beats", 120)

    def _beats(self) -> bool:
        assert self._supervisor is not None
        if self._supervisor.poll() is not None:
            raise AssertionError(f"the supervisor ended: {self.output()}")
        if self._image is None:
            if not self.run_folder.image.exists():
                return False
            self._image = Image.attach(self.run_folder.image, self.plan)
        return self._image.scan.cycle > 0

    def stop(self, timeout_s: float = 30.0) -> int:
        """End the cell in order; the supervisor's exit code."""
        assert self._supervisor is not None
        self._supervisor.send_signal(signal.SIGTERM)
        code = self._supervisor.wait(timeout_s)
        self._forget_image()
        return code

    def end(self) -> None:
        """End everything, in order if possible."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
        self._forget_image()
        if self.plant.running:
            self.plant.stop()

    def power_failure(self) -> None:
        """SIGKILL every process of the cell at once; the plant goes on."""
        assert self._supervisor is not None
        pids = [slot.pid for slot in self.image.processes.values() if slot.pid]
        for pid in {self._supervisor.pid, *pids}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._supervisor.wait()
        self._forget_image()
        shutil.rmtree(self.run_folder.path)

    def _forget_image(self) -> None:
        if self._image is not None:
            self._image.close()
            self._image = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    # --- looking --------------------------------------------------------------------------------

    @property
    def image(self) -> Image:
        """The running cell's image."""
        assert self._image is not None
        return self._image

    @property
    def supervisor_pid(self) -> int:
        """The supervisor's process."""
        assert self._supervisor is not None
        return self._supervisor.pid

    @property
    def data(self) -> Path:
        """The data folder."""
        return Path(self.plan.data)

    def output(self) -> str:
        """What the supervisor has said."""
        return (self.folder / "supervisor.txt").read_text(errors="replace")

    @property
    def state(self) -> CellState:
        """The operating state as the scan last published it."""
        return CellState(self.image.scan.state)

    def value(self, tag: str) -> Any:
        """A tag's value in the newest snapshot."""
        reader = self.image.snapshot_reader()
        reader.read()
        return reader.value(self.plan.tag(tag).index)

    def values(self, *tags: str) -> tuple[Any, ...]:
        """Several tags out of one snapshot."""
        reader = self.image.snapshot_reader()
        reader.read()
        return tuple(reader.value(self.plan.tag(tag).index) for tag in tags)

    def events(self) -> list[AnyEvent]:
        """Everything in the journal."""
        with JournalReader(self.data / "journal.db") as journal:
            return [event for _, event in journal.read(0, 1_000_000)]

    def pid(self, process: str) -> int:
        """A process's pid, 0 while it is down."""
        return self.image.processes[process].pid

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """Wait until ``condition`` is true and return its value."""
        deadline = time.monotonic() + timeout_s
        while (began := time.monotonic()) < deadline:
            found = condition()
            if found:
                return found
            # To read a journal or a log over and over takes a core from the cell that is watched.
            shortest_s, longest_s = PAUSE_S
            time.sleep(max(shortest_s, min(longest_s, 4 * (time.monotonic() - began))))
        raise AssertionError(f"not within {timeout_s:g} s: {what}\n{self.output()}")

    def until_state(self, state: CellState, timeout_s: float = 60.0) -> None:
        """Wait for an operating state."""
        self.until(lambda: self.state is state, f"state {state.name}", timeout_s)

    def until_serving(self) -> None:
        """Wait until the OPC UA server accepts connections."""

        def accepts() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.opcua_port)) == 0

        self.until(accepts, "the OPC UA server listens", 60)

    # --- acting ---------------------------------------------------------------------------------

    def kill(self, process: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a process of the cell; returns CLOCK_MONOTONIC ns of the call."""
        pid = self.until(lambda: self.pid(process), f"{process} runs")
        at = time.monotonic_ns()
        os.kill(pid, number)
        return at

    def request(self, request: str) -> None:
        """Ask for start, stop or reset as an operator."""
        CommandClient(self.image, timeout_s=10).send(
            SetMode(request=request, actor="test", reason="test")
        )

    def store(self) -> Store:
        """The MES database, beside the gateway."""
        assert self.plan.database is not None
        return open_store(self.plan.database)

    def order(self, job_order_id: str, quantity: int, timeout_s: float = 120.0) -> WorkOrderView:
        """Store and start an order as a planner would, once the master data are there."""
        job = JobOrder(
            job_order_id=job_order_id, part_number="BLD-7421", revision="C", quantity=quantity
        )
        self.until(
            lambda: (self.data / "pki").exists() or self.pid("gateway"), "the gateway starts"
        )
        deadline = time.monotonic() + timeout_s
        store = self.store()
        try:
            while True:
                try:
                    with store.session() as session:
                        return store_and_start(session, job, actor="test", reason="test")
                except Exception:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
        finally:
            store.close()

    def order_state(self, job_order_id: str) -> WorkOrderView:
        """The order as the MES has it now."""
        store = self.store()
        try:
            with store.session() as session:
                return get(session, job_order_id)
        finally:
            store.close()
