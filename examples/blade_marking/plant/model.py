"""The plant in simulated time: the same mechanics, head, faults and camera, in the cell's process.

``cellwright simulate`` and tests make it through the cell's plant seam. It is the only part of the
plant that knows of the cell's code beside the frame ring; the plant process does not import it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Final

import numpy as np
from pydantic import Field, field_validator

from cellwright.io.cameras.base import Camera, CameraError, CameraOptions, Frame
from cellwright.io.drivers.base import DriverError
from cellwright.io.markers.base import (
    FireResult,
    MarkContent,
    Marker,
    MarkerError,
    MarkerOptions,
    MarkOutcome,
)
from cellwright.io.plan import Device, Plan
from cellwright.tasks.api import JobError, Worker, WorkerContext
from cellwright.tasks.api.plant import PlantModel, PlantOptions, PlantTime
from plant import symbol
from plant.camera import view_of
from plant.faults import Fault, FaultPlan
from plant.log import Heartbeat, PlantLog
from plant.marker import MarkingHead
from plant.physics import Cell
from plant.points import Outputs
from plant.render import Renderer
from plant.telesis import ACK, Request

LONGEST_STEP_NS: Final = 10_000_000
SEEDED: Final = ("missing_pin", "wrong_dot", "wrong_content", "stuck_clamp")
"""Kinds of faults that `BladeOptions.fault_rate` draws."""
VISION: Final = "cellwright.tasks.vision.worker:VisionWorker"
EXPOSURE_S: Final = 0.045
"""Simulated time from the trigger to the frame."""
READING_S: Final = (0.02, 0.06)
"""Shortest and longest simulated time to read and judge a frame."""
LOOK_S: Final = 0.1
"""Between two looks whether the pin has stopped."""


class BladeOptions(PlantOptions):
    """Options of `BladePlant`."""

    fault_rate: float = Field(0.0, ge=0, le=1)
    """Part of the blades on which each of the kinds that spoil a blade strikes, from the seed."""
    faults: tuple[str, ...] = ()
    """Faults at given parts, written ``kind[@part][:duration]``; durations are simulated time."""

    @field_validator("faults")
    @classmethod
    def _spelt(cls, faults: tuple[str, ...]) -> tuple[str, ...]:
        for fault in faults:
            Fault.parse(fault)
        return faults


class SeededFaults(FaultPlan):
    """Planned faults, and those that the seed draws by kind and part."""

    def __init__(self, faults: tuple[Fault, ...], rate: float, seed: int) -> None:
        super().__init__(faults)
        self._rate = rate
        self._seed = seed

    def take(self, kind: str, part: int | None) -> Fault | None:
        """A planned one first; a drawn one depends on seed, kind and part alone."""
        planned = super().take(kind, part)
        if planned is not None or kind not in SEEDED or part is None or not self._rate:
            return planned
        drawn = Random(f"{self._seed}/{kind}/{part}").random() < self._rate
        return Fault(kind, part) if drawn else None


class BladePlant(PlantModel[BladeOptions]):
    """Conveyor, clamp, ejector, marker and camera of the blade cell."""

    Options: ClassVar[type[PlantOptions]] = BladeOptions

    def __init__(self, plan: Plan, options: BladeOptions, seed: int, time: PlantTime) -> None:
        super().__init__(plan, options, seed, time)
        self.log = PlantLog(None, now_ns=time.now_ns, utc_ns=time.utc_ns)
        self.outputs = Outputs(self.log, Heartbeat(self.log))
        planned = tuple(Fault.parse(fault) for fault in options.faults)
        self.faults = SeededFaults(planned, options.fault_rate, seed)
        self.cell = Cell(self.outputs, self.faults, self.log, parts=options.parts, seed=seed)
        self.head = MarkingHead(self.cell, self.outputs, self.faults, self.log)
        self._now_ns = time.now_ns()
        self._until_ns: dict[str, int] = {}
        """When a lasting fault is over."""

    def advance(self, now_ns: int) -> None:
        """Step mechanics and pin, at most 10 ms at once."""
        while self._now_ns < now_ns:
            step_ns = min(now_ns - self._now_ns, LONGEST_STEP_NS)
            self._now_ns += step_ns
            self.cell.step(step_ns / 1e9)
            self.head.step(step_ns / 1e9)
        if self.faults.pending or self._until_ns:
            self._lasting(now_ns)

    def _lasting(self, now_ns: int) -> None:
        for kind in ("dead_coupler", "estop", "air_loss"):
            if kind not in self._until_ns:
                fault = self.faults.take(kind, self.cell.arrived)
                if fault is None:
                    continue
                self.log.write("fault", kind=kind, part=self.cell.arrived)
                self._until_ns[kind] = now_ns + round((fault.duration_s or 0.0) * 1e9)
            if now_ns >= self._until_ns[kind]:
                del self._until_ns[kind]
                self.log.write("fault_over", kind=kind)
        self.cell.estop_pressed = "estop" in self._until_ns
        self.cell.air_shut = "air_loss" in self._until_ns

    # --- the coupler ----------------------------------------------------------------------------

    def read(self, device: str, area: str, start: int, count: int) -> Sequence[int]:
        """Sensors and measured values."""
        self._answers()
        if area == "discrete_inputs":
            bits = self.cell.discrete_inputs() >> start
            return [bits >> place & 1 for place in range(count)]
        return self.cell.input_registers()[start : start + count]

    def write(self, device: str, area: str, start: int, values: Sequence[int]) -> None:
        """Coils and holding registers."""
        self._answers()
        if area == "coils":
            self.outputs.write_coils(start, [bool(value) for value in values], self._now_ns)
        else:
            self.outputs.write_registers(start, list(values), self._now_ns)

    def _answers(self) -> None:
        if "dead_coupler" in self._until_ns:
            raise DriverError("the coupler does not answer (fault dead_coupler)", lost=True)

    # --- marker and camera ----------------------------------------------------------------------

    def marker(self, device: Device) -> Marker[Any]:
        """The marking head behind its controller, without the wire."""
        return BladeMarker(device.name, self)

    def camera(self, device: Device) -> Camera[Any]:
        """Draws what lies in the nest."""
        width, height = device.options["size"]
        return BladeCamera(device.name, self, width, height)

    def worker(self, context: WorkerContext) -> Worker | None:
        """Readings that the plant gives, unless real vision is wanted."""
        task = next(task for task in self.plan.tasks if task.name == context.task)
        if task.worker != VISION or self.options.real_vision:
            return None
        return GivenReading(context, self)

    def job_s(self, task: str, kind: str, random: Random) -> float:
        """An inspection takes longer than rendering a template."""
        return (
            random.uniform(*READING_S) if kind == "inspect" else super().job_s(task, kind, random)
        )

    # --- the witness ----------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Every planned blade has left."""
        return self.cell.finished

    def figures(self) -> Mapping[str, int]:
        """Blades that arrived and left by lane, and broken rules."""
        counts = self.log.counts
        return {
            "arrived": self.cell.arrived,
            "good": self.cell.good,
            "rejected": self.cell.rejected,
            "marked": counts["marked"],
            "double_marks": counts["double_mark"],
            "duplicate_contents": counts["duplicate_content"],
            "faults": counts["fault"],
        }


class BladeMarker(Marker[MarkerOptions]):
    """The plant's marking controller, asked directly."""

    Options: ClassVar[type[MarkerOptions]] = MarkerOptions

    def __init__(self, name: str, plant: BladePlant) -> None:
        super().__init__(name, MarkerOptions())
        self._plant = plant
        self._controller = plant.head.controller

    def connect(self) -> None:
        """There is no wire."""

    def prepare(self, content: MarkContent) -> None:
        """Go online, load the pattern, write field 01 and the readable lines."""
        requests = [("O", ""), ("P", content.pattern)]
        for number, text in enumerate((content.symbol, *content.texts), 1):
            requests.append(("V", f"{number:02d}{text}"))
        for kind, data in requests:
            refusal = self._ask(kind, data)
            if refusal:
                raise MarkerError(f"marker {self.name} refused {kind} '{data}': {refusal}")

    def fire(self) -> FireResult:
        """One print cycle, waited for in simulated time."""
        refusal = self._ask("G")
        if refusal:
            return FireResult(MarkOutcome.FAILED, f"marker {self.name} refused to start: {refusal}")
        blade = self._plant.cell.clamped_blade
        lost = self._plant.faults.take("lost_ack", blade.number if blade else None)
        while self._plant.head.marking:
            self._plant.time.sleep(LOOK_S)
        if lost is not None:
            self._plant.log.write("fault", kind="lost_ack")
            return FireResult(MarkOutcome.UNKNOWN, f"marker {self.name}: the answer was lost")
        if not self._controller.done:
            return FireResult(MarkOutcome.FAILED, f"marker {self.name}: {self._controller.fault}")
        return FireResult(MarkOutcome.ACKNOWLEDGED)

    def close(self) -> None:
        """There is no wire."""

    def _ask(self, kind: str, data: str = "") -> str:
        """An empty string, or why the controller refused."""
        answer = self._controller.handle(Request(kind, "", data))
        if answer is None:
            return "no answer"
        if answer[1] == ACK:
            return ""
        return answer[answer.index(2) + 1 : answer.index(3)].decode("latin-1") or "NAK"


class BladeCamera(Camera[CameraOptions]):
    """Draws the blade in the nest, as the plant process does."""

    Options: ClassVar[type[CameraOptions]] = CameraOptions

    def __init__(self, name: str, plant: BladePlant, width: int, height: int) -> None:
        super().__init__(name, CameraOptions())
        self._plant = plant
        self._size = width, height
        self._renderer: Renderer | None = None
        self._number = 0

    def open(self) -> None:
        """Make the textures."""
        if self._renderer is None:
            self._renderer = Renderer(*self._size, self._plant.seed)

    def capture(self, timeout_s: float) -> Frame:
        """One exposure."""
        if self._renderer is None:
            raise CameraError(f"camera {self.name} is not open; open it first")
        self._plant.time.sleep(EXPOSURE_S)
        self._number += 1
        blade = self._plant.cell.nest
        gray = self._renderer.render(None if blade is None else view_of(blade), self._number)
        return Frame(gray, self._number, self._plant.time.utc_ns())

    def close(self) -> None:
        """Let go of the textures."""
        self._renderer = None


class GivenReading(Worker):
    """Stands in for camera, reader and verifier: says what a sound reader would find on the blade.

    The dots that were struck are put onto the grid of the ordered symbol and compared module by
    module; no picture is drawn, so nothing of imaging and decoding is exercised.
    """

    def __init__(self, context: WorkerContext, plant: BladePlant) -> None:
        super().__init__(context)
        self._plant = plant
        self._frames = 0

    def handle(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """``inspect``, with the vision worker's answer."""
        if kind != "inspect":
            raise JobError(f"the given reading knows no job '{kind}'")
        self._plant.time.sleep(EXPOSURE_S)
        self._frames += 1
        verdict, reason, read, wrong = self._judge(str(body["expected"]))
        return {
            "verdict": verdict,
            "reason": reason,
            "read": read,
            "unused_error_correction": None if not read else 1.0,
            "module_errors": len(wrong),
            "wrong_modules": wrong[:20],
            "frame": self._frames,
        }

    def _judge(self, expected: str) -> tuple[str, str, str, list[list[int]]]:
        blade = self._plant.cell.nest
        mark = blade.marks[-1] if blade is not None and blade.marks else None
        if blade is None or mark is None:
            return "not_decidable", "no symbol was read", "", []
        try:
            ordered, peened = symbol.modules(expected), symbol.modules(mark.content)
        except symbol.SymbolError as error:
            return "not_decidable", f"nothing to compare: {error}", "", []
        found = _grid(blade.dots, len(peened))
        lacking = int((found != peened).sum())
        if lacking > peened.size // 20:
            return "not_decidable", "no symbol was read", "", []
        if mark.content != expected:
            return "not_ok", f"read {mark.content!r}, ordered {expected!r}", mark.content, []
        wrong = [[int(row), int(column)] for row, column in np.argwhere(found != ordered)]
        if wrong:
            reason = f"{len(wrong)} of {ordered.size} modules are wrong, 0 allowed"
            return "not_ok", reason, mark.content, wrong
        return "ok", "", mark.content, []


def _grid(dots: Sequence[symbol.Dot], side: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which modules of a symbol with that many rows have a dot."""
    grid = np.zeros((side, side), np.bool_)
    half = (side - 1) / 2
    for dot in dots:
        row, column = round(dot.y / symbol.PITCH_MM + half), round(dot.x / symbol.PITCH_MM + half)
        if 0 <= row < side and 0 <= column < side:
            grid[row, column] = True
    return grid
