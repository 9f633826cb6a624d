"""Puts the plant together and keeps it moving: one asyncio process, one beat for all physics.

Started by ``python -m plant``. Real time enters here and nowhere else: the beat measures it,
multiplies it with the speed and steps the parts in simulated seconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from plant.camera import PlantCamera
from plant.control import Command, ControlPort
from plant.coupler import Coupler
from plant.faults import KINDS, Fault, FaultPlan
from plant.log import Heartbeat, PlantLog
from plant.marker import Marker, MarkingHead
from plant.physics import Cell
from plant.points import COILS, Outputs

BEAT_S: Final = 0.002
LONGEST_STEP_S: Final = 0.01
LONGEST_STALL_S: Final = 0.25
"""Real time that one beat makes up for; a process that stood longer does not leap."""
_PARENT_EVERY: Final = 100
"""Beats between two looks at whether the parent still lives."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line sets; ports 0 are chosen by the system."""

    modbus_port: int = 0
    marker_port: int = 0
    control_port: int = 0
    camera: str = "blade-cam"
    width: int = 1280
    height: int = 1024
    parts: int = 0
    seed: int = 1
    speed: float = 1.0
    fill: float | None = None
    station: str = ""
    heartbeat_ms: float = 0.0
    log: Path | None = None
    ready_file: Path | None = None
    faults: tuple[Fault, ...] = ()
    parent: int | None = None
    """Process with which the plant ends; None: do not watch."""


class Simulator:
    """The whole plant."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = PlantLog(settings.log)
        self.heartbeat = Heartbeat(self.log, int(settings.heartbeat_ms * 1e6))
        self.outputs = Outputs(self.log, self.heartbeat)
        self.faults = FaultPlan(settings.faults)
        self.cell = Cell(
            self.outputs,
            self.faults,
            self.log,
            parts=settings.parts,
            seed=settings.seed,
            fill=settings.fill,
        )
        self.head = MarkingHead(self.cell, self.outputs, self.faults, self.log)
        self.head.controller.station = settings.station
        self.coupler = Coupler(self.cell, self.outputs, self.log, settings.modbus_port)
        self.marker = Marker(self.head, self.cell, self.faults, self.log, settings.marker_port)
        commands: dict[str, Command] = {
            "fault": self._inject,
            "status": self._status,
            "stop": self._stop,
        }
        self.control = ControlPort(commands, settings.control_port)
        self.camera = PlantCamera(
            self.cell,
            self.log,
            settings.camera,
            width=settings.width,
            height=settings.height,
            seed=settings.seed,
        )
        self._stopping = False
        self._reason = ""
        self._lasting: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until a signal, the stop command or the death of the parent."""
        # The drawing thread must not hold up the beat and the time stamps of outputs.
        sys.setswitchinterval(0.0005)
        # Not the loop's own handlers: those are gone while the loop closes, and a second signal
        # in that moment would turn an orderly end into a kill.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: self._end(signal.Signals(number).name))
        try:
            await self.coupler.start()
            await self.marker.tcp.start()
            await self.control.tcp.start()
            # Last: a second plant that finds the ports taken must leave the first one's ring alone.
            self.camera.start()
            self._announce()
            gc.collect()
            gc.freeze()
            await self._beat()
        finally:
            self.log.write("stopped", reason=self._reason, heartbeat=self.heartbeat.statistics())
            for task in self._lasting.values():
                task.cancel()
            await self.coupler.stop()
            await self.marker.tcp.stop()
            await self.control.tcp.stop()
            await self.camera.stop()
            self.log.close()

    def _announce(self) -> None:
        ports: dict[str, Any] = {
            "pid": os.getpid(),
            "modbus_port": self.coupler.port,
            "marker_port": self.marker.tcp.port,
            "control_port": self.control.tcp.port,
            "camera": self.settings.camera,
        }
        self.log.write(
            "started",
            **ports,
            parts=self.settings.parts,
            seed=self.settings.seed,
            speed=self.settings.speed,
            faults=[str(fault) for fault in self.settings.faults],
        )
        if self.settings.ready_file is not None:
            fresh = self.settings.ready_file.with_suffix(".new")
            fresh.write_text(json.dumps(ports) + "\n", encoding="utf-8")
            fresh.replace(self.settings.ready_file)

    async def _beat(self) -> None:
        now_ns = self.log.now_ns
        last_ns = now_ns()
        beats = 0
        while not self._stopping:
            await asyncio.sleep(BEAT_S)
            this_ns = now_ns()
            real_s = min((this_ns - last_ns) / 1e9, LONGEST_STALL_S)
            last_ns = this_ns
            self._advance(real_s * self.settings.speed)
            self.camera.poll()
            self._strike_timed_faults()
            if self._lasting:
                await self._look_after_lasting()
            beats += 1
            if beats % _PARENT_EVERY == 0 and self._orphaned():
                self._end("parent gone")

    def _advance(self, simulated_s: float) -> None:
        steps = int(simulated_s / LONGEST_STEP_S) + 1
        for _ in range(steps):
            self.cell.step(simulated_s / steps)
            self.head.step(simulated_s / steps)

    def _strike_timed_faults(self) -> None:
        """Faults that last strike when their part arrives, those without a part at once."""
        for kind in ("dead_coupler", "estop", "air_loss") if self.faults.pending else ():
            if kind in self._lasting:
                continue  # one at a time of each kind
            part = self.cell.arrived
            fault = self.faults.take(kind, part)
            if fault is not None:
                self.log.write("fault", kind=kind, part=part, duration_s=fault.duration_s)
                self._lasting[kind] = asyncio.create_task(self._last(kind, fault.duration_s or 0.0))

    async def _last(self, kind: str, duration_s: float) -> None:
        if kind == "dead_coupler":
            await self.coupler.stop()
        self._set_condition(kind, True)
        await asyncio.sleep(duration_s)
        self._set_condition(kind, False)
        if kind == "dead_coupler":
            await self.coupler.start()
        self.log.write("fault_over", kind=kind)

    def _set_condition(self, kind: str, active: bool) -> None:
        if kind == "estop":
            self.cell.estop_pressed = active
        elif kind == "air_loss":
            self.cell.air_shut = active

    async def _look_after_lasting(self) -> None:
        for kind, task in list(self._lasting.items()):
            if task.done():
                del self._lasting[kind]
                await task  # a coupler that cannot come back ends the plant with its error

    def _orphaned(self) -> bool:
        return self.settings.parent is not None and os.getppid() != self.settings.parent

    def _end(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._stopping = True

    # --- Commands of the control port -------------------------------------------------------------

    def _inject(self, argument: Any) -> dict[str, Any]:
        if not isinstance(argument, str):
            raise ValueError(
                f"write the fault as text, as in 'missing_pin@5'; kinds: {list(KINDS)}"
            )
        fault = Fault.parse(argument)
        if fault.part is not None and fault.part < self.cell.arrived:
            raise ValueError(f"'{argument}': part {fault.part} has passed already")
        self.faults.add(fault)
        return {"planned": [str(each) for each in self.faults.pending]}

    def _status(self, argument: Any) -> dict[str, Any]:
        return {
            "status": {
                **self.cell.status(),
                "outputs": dict(zip(COILS, self.outputs.coils, strict=True)),
                "registers": list(self.outputs.registers),
                "marker": self.head.controller.status,
                "heartbeat": self.heartbeat.statistics(),
                "events": dict(self.log.counts),
                "planned_faults": [str(fault) for fault in self.faults.pending],
            }
        }

    def _stop(self, argument: Any) -> dict[str, Any]:
        self._end("stop command")
        return {}
