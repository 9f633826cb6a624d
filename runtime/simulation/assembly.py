"""Makes the parts of a simulated cell and ends them in the opposite order.

`SimulatedCell` drives them; nothing here lets time pass.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import msgspec

from cellwright.io.image import Image
from cellwright.io.journal.writer import KEEP_NS
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Plan, Task
from cellwright.io.registry.registry import RegistryError, load_class
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.cell.membership import Membership
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.programs.resolve import resolve
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.simulation.devices import SimulatedDevice
from cellwright.runtime.simulation.events import EventQueue
from cellwright.runtime.simulation.held import HeldInputs
from cellwright.runtime.simulation.recording import SimulatedRecorder
from cellwright.runtime.simulation.records import (
    Answerer,
    FileJournal,
    Journal,
    MemoryJournal,
    ServiceMes,
    StandInMes,
)
from cellwright.runtime.simulation.workers import SimulatedWorker, Unavailable, WorkerTime
from cellwright.tasks.api import JobError, Worker, WorkerContext
from cellwright.tasks.api.plant import PlantDevices, PlantModel, PlantOptions

START_NS: Final = 1_000_000_000_000
UTC_NS: Final = 1_767_225_600_000_000_000 - START_NS
"""Simulated time begins on 2026-01-01 at 00:00 UTC."""
BOOT_ID: Final = "51000000"
"""The same for every seed: what differs between two runs is what happened in them."""


class Assembly:
    """Image, scan, workers, plant, journal, MES and recorder of one cell on one clock."""

    def __init__(
        self,
        plan: Plan,
        *,
        seed: int,
        plant: type[PlantModel[Any]] | None,
        options: PlantOptions | None,
        journal: Literal["memory", "file"],
        mes: Literal["stand-in", "services"],
        record: bool,
        data: Path | None,
        keep_ns: int = KEEP_NS,
    ) -> None:
        self.seed = seed
        self.clock = SimulatedClock(START_NS, UTC_NS)
        self.queue = EventQueue()
        kind: type[PlantModel[Any]] = plant or HeldInputs
        chosen = options or kind.Options()
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(TemporaryDirectory(prefix="cw-sim-")))
            _find_programs(plan.folder, stack)
            self.data = self.folder if data is None else data.resolve()
            self.data.mkdir(parents=True, exist_ok=True)
            self.plan = msgspec.structs.replace(plan, data=str(self.data))
            self.image = self._make_image()
            stack.callback(self.image.close)
            self._time = WorkerTime(self.clock)
            self.plant = kind(self.plan, chosen, seed, self._time)
            stack.callback(self.plant.close)
            self.mes: Answerer = (
                ServiceMes(self.plan, self.clock, chosen.parts)
                if mes == "services"
                else StandInMes(self.plan)
            )
            stack.callback(self.mes.close)
            member = self._membership("journal")
            self.recorder = SimulatedRecorder(member) if record else None
            if self.recorder is not None:
                stack.callback(self.recorder.close)
            self.journal: Journal = (
                FileJournal(member, keep_ns) if journal == "file" else MemoryJournal(self.image)
            )
            stack.callback(self.journal.close)
            self.scan = self._make_scan()
            stack.callback(self.scan.end)
            self.workers: list[SimulatedWorker] = []
            for task in self.plan.tasks:
                if task.worker is not None:
                    self.workers.append(self._make_worker(task, task.worker))
                    stack.callback(self.workers[-1].close)
            self._life = stack.pop_all()
        self.devices = self._make_devices()

    def random(self, name: str) -> Random:
        """Lots of one part of the cell; no other part's draws change them."""
        return Random(f"{self.seed}/{name}")

    def close(self) -> None:
        """End threads, stop the scan, drain the journal, close files."""
        self._life.close()

    def _make_image(self) -> Image:
        image = Image.create(self.folder / "image", self.plan, BOOT_ID)
        image.scan.started_ns = self.clock.now_ns()
        image.scan.base_ns = self.plan.scan.base_ns
        return image

    def _membership(self, name: str) -> Membership:
        """The place of a process, for those of its parts that run here."""
        return Membership(
            name,
            RunFolder(self.folder),
            self.plan,
            self.image,
            self.image.processes[name],
            self.clock,
            threading.Event(),
            os.getppid(),
        )

    def _make_scan(self) -> Scan:
        start = ScanStart(BOOT_ID + "00", {}, [], restarted=False, notes=[], simulated=True)
        programs = [resolve(task.program) for task in self.plan.tasks]
        if self.recorder is None:
            return Scan(self.plan, self.image, start, self.clock, programs)
        observer = self.recorder.observer
        scan = Scan(self.plan, self.image, start, observer.clock, programs, observer=observer)
        observer.bind(scan)
        return scan

    def _make_worker(self, task: Task, target: str) -> SimulatedWorker:
        context = WorkerContext(
            task.name, task.options, self.plan, PlantDevices(self.plant), simulated=True
        )
        name = f"worker:{task.name}"
        return SimulatedWorker(
            self._membership(name),
            self.plant.worker(context) or _real_worker(context, target),
            task.index,
            queue=self.queue,
            time=self._time,
            draw=partial(self.plant.job_s, task.name),
            random=self.random(name),
        )

    def _make_devices(self) -> list[SimulatedDevice]:
        return [
            SimulatedDevice(
                self.image,
                index,
                self.plant,
                queue=self.queue,
                clock=self.clock,
                random=self.random(device.name),
            )
            for index, device in enumerate(self.plan.devices)
            if device.kind == "driver"
        ]


def _find_programs(folder: str, stack: ExitStack) -> None:
    sys.path.insert(0, folder)
    stack.callback(lambda: sys.path.remove(folder) if folder in sys.path else None)


def _real_worker(context: WorkerContext, target: str) -> Worker:
    try:
        made: Worker = load_class(target)(context)
    except (JobError, RegistryError) as error:
        return Unavailable(context, str(error))
    return made
