"""Modbus TCP: the client, and the coupler's own watchdog."""

from cellwright.io.drivers.modbus.client import ModbusOptions, ModbusTcp
from cellwright.io.drivers.modbus.frames import frame_fault

__all__ = [
    "ModbusOptions",
    "ModbusTcp",
    "frame_fault",
]
