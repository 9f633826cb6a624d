"""The seam between a driver process and the scan: staged inputs one way, outputs the other.

The driver writes its inputs area and its status, the scan writes the outputs area; each direction
is one double-buffered block, so that neither ever waits for the other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from cellwright.io.image.areas import Area, Flag, Int64, Record, Text, round_up
from cellwright.io.plan import Device
from cellwright.native import ffi, lib

_INPUT_HEADER: Final = struct.Struct("<q")
_STATUS: Final = struct.Struct("<qII")
_OUTPUT_HEADER: Final = struct.Struct("<QII")
INPUT_HEADER_SIZE: Final = _INPUT_HEADER.size
STATUS_SIZE: Final = _STATUS.size
_ATTEMPTS: Final = 1000
"""A writer of a millisecond's cycle overtakes a copy of microseconds once at most."""


class OutputHeader(msgspec.Struct, frozen=True):
    """What came with the outputs."""

    cycle: int
    """The scan's cycle that committed them; 0 when none was committed yet."""
    enabled: bool
    """False: these are the safe values."""


class Inputs(msgspec.Struct, frozen=True):
    """One published unit of staged inputs."""

    published_ns: int
    statuses: tuple[tuple[int, int], ...]
    """Quality and time of the read (UTC, ns) per poll group."""
    payload: bytes
    absent: tuple[int, ...] = ()
    """Per poll group the bits of those of its parts that the device does not have."""


class DevicePort(Record):
    """One device, seen from its driver process and from the scan.

    The fields are the driver's to write, like the inputs; the outputs are the scan's.
    """

    beat_ns = Int64()
    """Monotonic time of the driver's last sign of life."""
    trip = Int64()
    """0, or the reason why the driver tripped; the scan goes to FAULT."""
    connected = Flag()
    requests = Int64()
    failures = Int64()
    reconnects = Int64()
    last_ns = Int64()
    """Duration of the last request."""
    max_ns = Int64()
    """Longest duration of a request."""
    back_off_ns = Int64()
    """Present pause between attempts; 0 when the device answers."""
    error = Text(160)
    """The last failure, for people."""

    def __init__(self, device: Device, status: Area, inputs: Area, outputs: Area) -> None:
        super().__init__(status)
        self.device = device
        self._groups = len(device.groups)
        self._inputs = inputs
        self._outputs = outputs
        self._input_block = bytearray(input_block_size(device))
        self._output_block = bytearray(output_block_size(device))
        self._payload_at = _INPUT_HEADER.size + _STATUS.size * self._groups

    @property
    def inputs_area(self) -> Area:
        """Where the staged inputs lie; for the latch."""
        return self._inputs

    @property
    def outputs_area(self) -> Area:
        """Where the outputs lie; for the commit."""
        return self._outputs

    def beat(self, now_ns: int) -> None:
        """The driver lives. Driver only."""
        self.beat_ns = now_ns

    def publish_inputs(
        self,
        payload: bytes | bytearray | memoryview,
        statuses: Sequence[tuple[int, int]],
        now_ns: int,
        absent: Sequence[int] = (),
    ) -> None:
        """Publish all groups' payloads and states as one consistent unit; also a beat. Driver only.

        ``payload`` has the device's ``input_size``; ``statuses`` holds quality and UTC time in ns
        for each of the device's groups, inputs and outputs, in the plan's order; ``absent``, when
        given, for each group the bits of those of its parts (`Device.parts`) that do not exist.
        """
        if len(payload) != self.device.input_size or len(statuses) != self._groups:
            raise ValueError(
                f"device {self.device.name} publishes {self.device.input_size} bytes and "
                f"{self._groups} group states, not {len(payload)} and {len(statuses)}"
            )
        block = self._input_block
        _INPUT_HEADER.pack_into(block, 0, now_ns)
        position = _INPUT_HEADER.size
        for group, (quality, utc_ns) in enumerate(statuses):
            missing = absent[group] if absent else 0
            _STATUS.pack_into(block, position, utc_ns, quality, missing)
            position += _STATUS.size
        block[position : position + len(payload)] = payload
        area = self._inputs
        lib.cw_snapshot_write(area.pointer, area.size, ffi.from_buffer(block), len(block))
        self.beat_ns = now_ns

    def read_outputs(self, into: bytearray) -> OutputHeader:
        """Copy the last committed outputs (``output_size`` bytes) into ``into``.

        Before the first commit: the safe values and cycle 0. Driver only: it has one buffer.
        """
        if len(into) != self.device.output_size:
            raise ValueError(
                f"the outputs of {self.device.name} are {self.device.output_size} bytes, "
                f"the buffer has {len(into)}"
            )
        block, area = self._output_block, self._outputs
        found = lib.cw_snapshot_read(
            area.pointer, area.size, ffi.from_buffer(block), len(block), 0, _ATTEMPTS
        )
        if found < 0:
            raise RuntimeError(
                f"the outputs of {self.device.name} change faster than they are read"
            )
        if found == 0:
            into[:] = self.device.safe_outputs.ljust(len(into), b"\0")
            return OutputHeader(0, False)
        cycle, enabled, _ = _OUTPUT_HEADER.unpack_from(block)
        into[:] = memoryview(block)[_OUTPUT_HEADER.size : _OUTPUT_HEADER.size + len(into)]
        return OutputHeader(cycle, enabled != 0)

    def publish_outputs(
        self, payload: bytes | bytearray | memoryview, cycle: int, enabled: bool
    ) -> None:
        """Publish the outputs. Scan only (the commit does the same in C)."""
        if len(payload) != self.device.output_size:
            raise ValueError(
                f"the outputs of {self.device.name} are {self.device.output_size} bytes, "
                f"not {len(payload)}"
            )
        block = bytearray(output_block_size(self.device))
        _OUTPUT_HEADER.pack_into(block, 0, cycle, 1 if enabled else 0, 0)
        block[_OUTPUT_HEADER.size : _OUTPUT_HEADER.size + len(payload)] = payload
        area = self._outputs
        lib.cw_snapshot_write(area.pointer, area.size, ffi.from_buffer(block), len(block))

    def read_inputs(self) -> Inputs | None:
        """The newest staged inputs, None before the first. Anyone (the latch does it in C)."""
        block, area = bytearray(len(self._input_block)), self._inputs
        found = lib.cw_snapshot_read(
            area.pointer, area.size, ffi.from_buffer(block), len(block), 0, _ATTEMPTS
        )
        if found < 0:
            raise RuntimeError(f"the inputs of {self.device.name} change faster than they are read")
        if found == 0:
            return None
        (published_ns,) = _INPUT_HEADER.unpack_from(block)
        statuses, absent = [], []
        for index in range(self._groups):
            utc_ns, quality, missing = _STATUS.unpack_from(
                block, _INPUT_HEADER.size + index * _STATUS.size
            )
            statuses.append((quality, utc_ns))
            absent.append(missing)
        payload = bytes(block[self._payload_at : self._payload_at + self.device.input_size])
        return Inputs(published_ns, tuple(statuses), payload, tuple(absent))


def input_block_size(device: Device) -> int:
    """Bytes of a block of staged inputs: time, a state per group, payload."""
    return round_up(_INPUT_HEADER.size + _STATUS.size * len(device.groups) + device.input_size, 8)


def output_block_size(device: Device) -> int:
    """Bytes of a block of outputs: cycle, enabled, payload."""
    return round_up(_OUTPUT_HEADER.size + device.output_size, 8)
