"""The mechanics of the cell: conveyor, nest, clamp, ejector, air and temperature.

Stepped by `simulator` in simulated seconds; the same steps with the same seed give the same
motion. It knows neither sockets nor clocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from plant.faults import FaultPlan
from plant.log import PlantLog
from plant.points import SPEED, Outputs
from plant.symbol import Dot

CONVEYOR_FULL_SCALE_MM_S: Final = 500.0
CONVEYOR_ACCELERATION_MM_S2: Final = 1500.0
BLADE_PITCH_MM: Final = (120.0, 160.0)
"""Shortest and longest way of the next blade to the stop."""
CLAMP_CLOSE_S: Final = 0.35
CLAMP_OPEN_S: Final = 0.30
CLAMP_STUCK_AT: Final = 0.6
CLAMP_PRESSURE_LAG_S: Final = 0.06
EJECT_OUT_S: Final = 0.40
EJECT_BACK_S: Final = 0.30
NEST_LEFT_AT: Final = 0.15
"""Part of the ejector's stroke after which the blade no longer covers the nest's sensor."""
SENSOR_HOLD_S: Final = 0.20
"""How long a blade covers the lane's sensor after the ejector's command is gone."""
AIR_SUPPLY_BAR: Final = 6.2
AIR_RECOVERY_S: Final = 0.35
AIR_LOSS_S: Final = 0.15
AIR_USE_BAR_PER_S: Final = 2.2
AIR_OK_BAR: Final = 4.5
AIR_NEEDED_BAR: Final = 2.0
CLOSED_AT: Final = 0.98
OPEN_AT: Final = 0.02
PRESSURE_FULL_SCALE_BAR: Final = 10.0


@dataclass(slots=True)
class Mark:
    """What was peened in one print cycle."""

    content: str
    dots: int
    digest: str
    complete: bool


@dataclass(slots=True)
class Blade:
    """One blade and all that was done to it. Lengths in mm, the angle in degrees."""

    number: int
    seed: int
    rotation_deg: float
    shift_x_mm: float
    shift_y_mm: float
    fill: float
    """Diameter of a dot in modules."""
    distance_mm: float
    dots: list[Dot] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    clamped: bool = False


class Cell:
    """All mechanics. ``parts`` 0 means that blades never end; ``fill`` None varies it by blade."""

    def __init__(
        self,
        outputs: Outputs,
        faults: FaultPlan,
        log: PlantLog,
        *,
        parts: int,
        seed: int,
        fill: float | None = None,
    ) -> None:
        self.outputs = outputs
        self.faults = faults
        self.log = log
        self.parts = parts
        self.seed = seed
        self.fill = fill
        self.estop_pressed = False
        self.air_shut = False
        self.nest: Blade | None = None
        self.arrived = 0
        self.good = 0
        self.rejected = 0
        self.air_bar = AIR_SUPPLY_BAR
        self.clamp = 0.0
        self.clamp_bar = 0.0
        self.temperature_c = 21.0
        self.heating = False
        """The marker works: its coil warms the fixture."""
        self._made = 0
        self._incoming: Blade | None = self._next_blade()
        self._leaving: Blade | None = None
        self._belt_mm_s = 0.0
        self._ejector = 0.0
        self._lane = ""
        self._hold_s = {"good": 0.0, "reject": 0.0}
        self._clamp_limit = 1.0
        self._refused = ""
        self._time_s = 0.0

    # --- What others see --------------------------------------------------------------------------

    @property
    def clamped_blade(self) -> Blade | None:
        """The blade that the clamp really holds, or None."""
        return self.nest if self.clamp >= CLOSED_AT else None

    @property
    def finished(self) -> bool:
        """True when every planned blade has left."""
        return bool(self.parts) and self.good + self.rejected >= self.parts

    def discrete_inputs(self) -> int:
        """The sensors, packed with discrete input 0 in bit 0."""
        present = self.nest is not None and self._ejector < NEST_LEFT_AT
        return (
            present
            | (self.clamp >= CLOSED_AT) << 1
            | (self.clamp <= OPEN_AT) << 2
            | (self._hold_s["good"] > 0) << 3
            | (self._hold_s["reject"] > 0) << 4
            | (not self.estop_pressed) << 5
            | (self.air_bar >= AIR_OK_BAR) << 6
        )

    def input_registers(self) -> list[int]:
        """Part counter (two words), clamp pressure, temperature, air pressure."""
        return [
            self.arrived >> 16 & 0xFFFF,
            self.arrived & 0xFFFF,
            _pressure(self.clamp_bar),
            round(self.temperature_c * 10) & 0xFFFF,
            _pressure(self.air_bar),
        ]

    def status(self) -> dict[str, Any]:
        """Where everything is, for the control port."""
        return {
            "arrived": self.arrived,
            "good": self.good,
            "rejected": self.rejected,
            "finished": self.finished,
            "nest": self.nest.number if self.nest else None,
            "clamp": round(self.clamp, 3),
            "air_bar": round(self.air_bar, 2),
            "temperature_c": round(self.temperature_c, 2),
        }

    # --- Time -------------------------------------------------------------------------------------

    def step(self, dt_s: float) -> None:
        """Advance by ``dt_s`` simulated seconds (0 to 0.02)."""
        self._time_s += dt_s
        moving = self._step_clamp(dt_s)
        moving = self._step_ejector(dt_s) or moving
        self._step_belt(dt_s)
        self._step_air(dt_s, moving)
        drift = 21.0 + 1.2 * math.sin(self._time_s / 90.0 + self.seed % 7)
        target = drift + (4.0 if self.heating else 0.0)
        self.temperature_c += (target - self.temperature_c) * min(1.0, dt_s / 20.0)

    def _step_clamp(self, dt_s: float) -> bool:
        if self.estop_pressed or self.air_bar < AIR_NEEDED_BAR:
            return False
        before = self.clamp
        if self.outputs.clamp_close:
            self.clamp = max(before, min(before + dt_s / CLAMP_CLOSE_S, self._clamp_limit))
        else:
            self.clamp = max(before - dt_s / CLAMP_OPEN_S, 0.0)
        blade = self.nest
        if blade is not None and blade.clamped != (self.clamp >= CLOSED_AT):
            blade.clamped = not blade.clamped
            self.log.write("clamped" if blade.clamped else "unclamped", part=blade.number)
        holds = self.air_bar * 0.95 if self.clamp >= CLOSED_AT else 0.0
        self.clamp_bar += (holds - self.clamp_bar) * min(1.0, dt_s / CLAMP_PRESSURE_LAG_S)
        return self.clamp != before

    def _step_ejector(self, dt_s: float) -> bool:
        out = self.outputs
        for lane, commanded in (("good", out.eject_good), ("reject", out.eject_reject)):
            if not commanded and self._hold_s[lane] > 0:
                self._hold_s[lane] = max(0.0, self._hold_s[lane] - dt_s)
        if self.estop_pressed or self.air_bar < AIR_NEEDED_BAR:
            return False
        before = self._ejector
        if self._may_eject():
            self._ejector = min(1.0, before + dt_s / EJECT_OUT_S)
            if self._ejector >= NEST_LEFT_AT and self.nest is not None:
                self._leaving, self.nest = self.nest, None
                self._lane = "good" if out.eject_good else "reject"
            if self._ejector >= 1.0 and self._leaving is not None:
                self._deliver(self._leaving)
        elif not (out.eject_good or out.eject_reject):
            self._ejector = max(0.0, before - dt_s / EJECT_BACK_S)
            if self._leaving is not None:
                self._deliver(self._leaving)
        return self._ejector != before

    def _may_eject(self) -> bool:
        """True while the ejector's command can be followed; says once why it cannot."""
        out = self.outputs
        if not (out.eject_good or out.eject_reject):
            self._refused = ""
            return False
        reason = ""
        if out.eject_good and out.eject_reject:
            reason = "both lanes commanded"
        elif self.clamp > OPEN_AT:
            reason = "the clamp is not open"
        if reason and reason != self._refused:
            part = self.nest.number if self.nest else None
            self.log.write("eject_refused", part=part, reason=reason)
        self._refused = reason
        return not reason

    def _deliver(self, blade: Blade) -> None:
        """The blade slides down the lane onto which the ejector pushed it."""
        self._leaving = None
        if self._lane == "good":
            self.good += 1
        else:
            self.rejected += 1
        self._hold_s[self._lane] = SENSOR_HOLD_S
        self.log.write(
            "ejected",
            part=blade.number,
            lane=self._lane,
            contents=[mark.content for mark in blade.marks],
            dots=len(blade.dots),
        )
        if self.finished:
            self.log.write("finished", good=self.good, rejected=self.rejected)

    def _step_belt(self, dt_s: float) -> None:
        out = self.outputs
        target = 0.0
        if out.conveyor_run and not self.estop_pressed:
            target = out.registers[SPEED] / 65535 * CONVEYOR_FULL_SCALE_MM_S
        change = CONVEYOR_ACCELERATION_MM_S2 * dt_s
        self._belt_mm_s += max(-change, min(change, target - self._belt_mm_s))
        blade = self._incoming
        free = self.nest is None and self._leaving is None and self._ejector <= OPEN_AT
        if blade is None or not free:
            return
        blade.distance_mm -= self._belt_mm_s * dt_s
        if blade.distance_mm <= 0:
            self.nest = blade
            self.arrived += 1
            stuck = self.faults.take("stuck_clamp", blade.number)
            self._clamp_limit = CLAMP_STUCK_AT if stuck else 1.0
            self.log.write("arrived", part=blade.number)
            if stuck:
                self.log.write("fault", kind=stuck.kind, part=blade.number)
            self._incoming = self._next_blade()

    def _step_air(self, dt_s: float, moving: bool) -> None:
        supply, lag_s = (0.0, AIR_LOSS_S) if self.air_shut else (AIR_SUPPLY_BAR, AIR_RECOVERY_S)
        self.air_bar += (supply - self.air_bar) * min(1.0, dt_s / lag_s)
        if moving:
            self.air_bar = max(0.0, self.air_bar - AIR_USE_BAR_PER_S * dt_s)

    def _next_blade(self) -> Blade | None:
        if self.parts and self._made >= self.parts:
            return None
        self._made += 1
        seed = self.seed * 1_000_003 + self._made
        random = Random(seed)
        return Blade(
            number=self._made,
            seed=seed,
            rotation_deg=random.uniform(-2.0, 2.0),
            shift_x_mm=random.uniform(-0.8, 0.8),
            shift_y_mm=random.uniform(-0.8, 0.8),
            fill=random.uniform(0.82, 0.98) if self.fill is None else self.fill,
            distance_mm=random.uniform(*BLADE_PITCH_MM),
        )


def _pressure(bar: float) -> int:
    return max(0, min(65535, round(bar / PRESSURE_FULL_SCALE_BAR * 65535)))
