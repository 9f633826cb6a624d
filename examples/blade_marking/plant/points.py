"""The coupler's points: what the controller can read and write, and who is told of a change.

`coupler` moves them over Modbus, `physics` acts on the outputs and provides the inputs. The map
is the interface of the plant and is documented in its README.
"""

from __future__ import annotations

from typing import Final

from plant.log import Heartbeat, PlantLog

DISCRETE_INPUTS: Final = (
    "part_present",
    "clamp_closed",
    "clamp_open",
    "part_at_exit",
    "part_in_reject_bin",
    "estop_ok",
    "air_ok",
)
COILS: Final = (
    "clamp_close",
    "conveyor_run",
    "eject_good",
    "eject_reject",
    "lamp_green",
    "lamp_red",
    "marker_enable",
)
INPUT_REGISTERS: Final = 5
HOLDING_REGISTERS: Final = ("conveyor_speed_setpoint", "heartbeat")
SPEED, HEARTBEAT = range(2)

DEFAULT_SPEED: Final = 26214
"""Conveyor setpoint until the controller writes one: 200 mm/s."""


class Outputs:
    """Coils and holding registers as last written; every change is logged with its arrival."""

    def __init__(self, log: PlantLog, heartbeat: Heartbeat) -> None:
        self._log = log
        self._heartbeat = heartbeat
        self.coils = [False] * len(COILS)
        self.registers = [DEFAULT_SPEED, 0]

    @property
    def clamp_close(self) -> bool:
        """Coil 0."""
        return self.coils[0]

    @property
    def conveyor_run(self) -> bool:
        """Coil 1."""
        return self.coils[1]

    @property
    def eject_good(self) -> bool:
        """Coil 2."""
        return self.coils[2]

    @property
    def eject_reject(self) -> bool:
        """Coil 3."""
        return self.coils[3]

    @property
    def marker_enable(self) -> bool:
        """Coil 6."""
        return self.coils[6]

    def write_coils(self, start: int, values: list[bool], at_ns: int) -> None:
        """Take coils that arrived at ``at_ns``; unassigned ones behind the last are ignored."""
        for index, value in enumerate(values, start):
            if index < len(COILS) and self.coils[index] != value:
                self.coils[index] = value
                self._log.write("output", at_ns=at_ns, name=COILS[index], value=value)

    def write_registers(self, start: int, values: list[int], at_ns: int) -> None:
        """Take holding registers that arrived at ``at_ns``."""
        for index, value in enumerate(values, start):
            if index == HEARTBEAT:
                self._heartbeat.see(value, at_ns)
            elif self.registers[index] != value:
                name = HOLDING_REGISTERS[index]
                self._log.write("output", at_ns=at_ns, name=name, value=value)
            self.registers[index] = value
