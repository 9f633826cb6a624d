"""The cell of the campaign with its plant: start it, look at outputs, bring it back to RUN."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cellwright.io.image import Image, ImageError
from cellwright.io.image.command_client import CommandClient, CommandFailed
from cellwright.io.messages import SetMode, WriteTag
from cellwright.io.plan import CellState
from chaos.chaos_tools import HERE, ClockShift, PlantTail
from plant.process import PlantProcess
from support.cells import CellUnderTest

SAFE = {"clamp_close": False, "conveyor_run": False, "eject_good": False, "eject_reject": False,
        "lamp_green": False, "lamp_red": True, "marker_enable": False}  # fmt: skip
STEADY = {name: not value for name, value in SAFE.items() if name != "eject_reject"}
"""What the coils are in RUN, all but the one that toggles."""
SETTLE_S = 10.0
URGENT_PLANT = 70
"""Real-time priority of the plant: a device has a processor of its own."""


class FaultBench(CellUnderTest):
    """One cell of `fault_cell` with its plant; the wall clock is the test's."""

    def __init__(
        self, folder: Path, *, realtime: bool = True, edit: Callable[[Any], None] | None = None
    ) -> None:
        super().__init__(folder, edit=edit, start="stop")
        self.plant = PlantProcess(size=(64, 64), folder=folder, extra=("--heartbeat-ms", "1"))
        self._realtime = realtime
        self.clock = ClockShift(folder)
        self.environment = self.clock.environment
        self._tail: PlantTail | None = None

    def prepare(self) -> Path:
        """Write the cell's folder; returns its file."""
        shutil.copytree(HERE / "fault_cell", self.folder, dirs_exist_ok=True)
        yaml, file = YAML(), self.folder / "cell.yaml"
        cell = yaml.load(file)
        cell["devices"]["remote_io"]["port"] = self.plant.modbus_port
        if not self._realtime:
            cell["scan"]["realtime"]["priority"] = 0
        self._configure(cell)
        yaml.dump(cell, file)
        with suppress(PermissionError):
            os.sched_setscheduler(self.plant.pid, os.SCHED_FIFO, os.sched_param(URGENT_PLANT))
        self._tail = PlantTail(self.plant.log_path)
        return file

    def end(self) -> None:
        """The same, and what a fault may have left stopped goes on to its end."""
        if self._supervisor is not None and self._supervisor.poll() is None and self._image:
            for slot in self.image.processes.values():
                if slot.pid:
                    with suppress(ProcessLookupError):
                        os.kill(slot.pid, signal.SIGCONT)
        super().end()
        if self._tail is not None:
            self._tail.close()

    # --- looking --------------------------------------------------------------------------------

    @property
    def tail(self) -> PlantTail:
        """The plant's log as far as it was read."""
        assert self._tail is not None
        return self._tail

    @property
    def is_steady(self) -> bool:
        """RUN, and every output away from its safe value (the toggling one is not asked)."""
        self.tail.look()
        return self.state is CellState.RUN and STEADY.items() <= self.tail.coils.items()

    @property
    def is_safe(self) -> bool:
        """Every output at its declared safe value, as the plant saw them arrive."""
        self.tail.look()
        return SAFE.items() <= self.tail.coils.items()

    @property
    def was_late(self) -> bool:
        """The cell is in FAULT because something in it did not get its time on this machine."""
        code, text = self.image.scan.fault_code, self.image.scan.fault_text
        slow = code in {"scan_watchdog", "task_watchdog"}
        return slow or "heartbeat stopped" in text or "does not answer" in text

    # --- an operator ----------------------------------------------------------------------------

    def post(self, order: int) -> int:
        """Give the program an order without waiting for the answer; CLOCK_MONOTONIC ns before."""
        at_ns = time.monotonic_ns()
        CommandClient(self.image).post(WriteTag(tag="order", value=order, actor="operator"))
        return at_ns

    def try_request(self, request: str) -> str:
        """Ask once; an empty string, or why it was refused."""
        try:
            CommandClient(self.image, timeout_s=0.5).send(
                SetMode(request=request, actor="operator", reason="fault campaign")
            )
        except CommandFailed as error:
            return str(error)
        return ""

    def recover(self, timeout_s: float = 40.0) -> None:
        """Reset and start as often as it takes; returns when every output is driven again."""
        deadline, refused = time.monotonic() + timeout_s, ""
        while not self.is_steady:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"the cell does not come back to RUN: {self.state.name}, {refused}, "
                    f"{self.tail.coils}\n{self.output()[-3000:]}"
                )
            if self.state is CellState.FAULT:
                refused = self.try_request("reset") or refused
            if self.state is CellState.STOP and self.pid("scan") == self.image.scan.pid:
                refused = self.try_request("start") or refused
            time.sleep(0.01)

    def reap(self) -> None:
        """Take note that the supervisor is dead."""
        assert self._supervisor is not None
        self._supervisor.wait(SETTLE_S)

    def forget(self) -> None:
        """Let go of the dead cell's image and of its run folder, as after a power failure."""
        self._forget_image()
        shutil.rmtree(self.run_folder.path, ignore_errors=True)

    def relaunch(self) -> None:
        """Start the supervisor anew beside what its predecessor left."""
        self._forget_image()
        self.launch()

    def _beats(self) -> bool:
        """The image must be the new supervisor's: one that was killed leaves its own."""
        assert self._supervisor is not None
        if self._supervisor.poll() is not None:
            raise AssertionError(f"the supervisor ended: {self.output()[-3000:]}")
        if self._image is None:
            with suppress(ImageError, OSError):
                self._image = Image.attach(self.run_folder.image, self.plan)
        if self._image is None:
            return False
        if self._image.processes["supervisor"].pid != self._supervisor.pid:
            self._forget_image()
            return False
        return self._image.scan.cycle > 0
