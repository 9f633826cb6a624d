"""Field devices of a simulated cell: polled at simulated poll times, without driver or network.

A poll hands the plant model the committed outputs that changed, then reads all inputs, and
publishes them as a driver process does. Back-off, output gate and protocols are not exercised.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

from cellwright.io.drivers.base import DriverError
from cellwright.io.image import Image
from cellwright.io.plan import PollGroup, quality
from cellwright.io.process_image.wire import holds_bits
from cellwright.io.timing.clock import Clock
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.runtime.simulation.events import EventQueue, Rank
from cellwright.tasks.api.plant import PlantModel


class WireGroup:
    """One poll group and its wire form."""

    def __init__(self, group: PollGroup) -> None:
        self.index = group.index
        self.area, self.start, self.count = group.area, group.start, group.count
        self.place = slice(group.offset, group.offset + group.size)
        self.offset, self.size = group.offset, group.size
        self.bits = holds_bits(group)
        self._words = struct.Struct(f">{group.count}H")

    def pack(self, values: Sequence[int], into: bytearray) -> None:
        """Put the group's values into the device's payload; raises SimulationError."""
        if len(values) != self.count:
            raise SimulationError(
                f"the plant model gave {len(values)} values of {self.area}[{self.start}], "
                f"asked were {self.count}"
            )
        if self.bits:
            packed = 0
            for place, value in enumerate(values):
                if value:
                    packed |= 1 << place
            into[self.place] = packed.to_bytes(self.size, "little")
        else:
            try:
                self._words.pack_into(into, self.offset, *values)
            except struct.error as error:
                raise SimulationError(
                    f"the plant model gave {list(values)} as {self.area}[{self.start}]: {error}; "
                    "words are whole numbers from 0 to 65535"
                ) from error

    def unpack(self, payload: bytearray) -> Sequence[int]:
        """The group's values out of the device's payload."""
        if self.bits:
            packed = int.from_bytes(payload[self.place], "little")
            return [packed >> place & 1 for place in range(self.count)]
        return self._words.unpack_from(payload, self.offset)


class SimulatedDevice:
    """One field device; polls from a phase that is drawn from the seed."""

    def __init__(
        self,
        image: Image,
        index: int,
        plant: PlantModel[Any],
        *,
        queue: EventQueue,
        clock: Clock,
        random: Random,
    ) -> None:
        device = image.plan.devices[index]
        self._name = device.name
        self._port = image.device(index)
        self._plant = plant
        self._queue = queue
        self._clock = clock
        self._period_ns = device.poll_ns or image.plan.scan.base_ns
        self._inputs = [WireGroup(group) for group in device.groups if not group.output]
        self._outputs = [WireGroup(group) for group in device.groups if group.output]
        self._committed = bytearray(device.output_size)
        self._written = bytearray(device.output_size)
        self._whole = False
        """The device has all outputs."""
        self._payload = bytearray(device.input_size)
        first = (quality.BAD_WAITING_FOR_INITIAL_DATA, clock.utc_ns())
        self._statuses = [first] * len(device.groups)
        self._due_ns = clock.now_ns() + random.randrange(self._period_ns)
        self.polls = 0
        queue.put(self._due_ns, Rank.DEVICE, self.poll)

    def poll(self) -> None:
        """Outputs, then inputs, at one instant."""
        now_ns, utc_ns = self._clock.now_ns(), self._clock.utc_ns()
        port = self._port
        self.polls += 1
        self._plant.advance(now_ns)
        try:
            self._write()
            for group in self._inputs:
                values = self._plant.read(self._name, group.area, group.start, group.count)
                group.pack(values, self._payload)
            self._statuses = [(quality.GOOD, utc_ns)] * len(self._statuses)
            port.connected = True
        except DriverError as error:
            self._whole = False
            if port.connected or self._statuses[0][0] != quality.BAD_NO_COMMUNICATION:
                self._statuses = [(quality.BAD_NO_COMMUNICATION, utc_ns)] * len(self._statuses)
            port.connected = False
            port.failures += 1
            port.error = str(error).encode()[:160].decode(errors="ignore")
        port.publish_inputs(self._payload, self._statuses, now_ns)
        self._due_ns += self._period_ns
        self._queue.put(self._due_ns, Rank.DEVICE, self.poll)

    def _write(self) -> None:
        """The scan commits safe values when it is not in RUN, so what is committed is right."""
        committed, written = self._committed, self._written
        self._port.read_outputs(committed)
        if self._whole and committed == written:
            return
        for group in self._outputs:
            if not self._whole or committed[group.place] != written[group.place]:
                values = group.unpack(committed)
                self._plant.write(self._name, group.area, group.start, values)
        written[:] = committed
        self._whole = True
