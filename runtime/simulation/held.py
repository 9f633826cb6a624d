"""The plant of a cell that has none: inputs stand still until somebody sets them.

For trying a program alone. Values are put into wire form by the same table in C that commits
outputs, so that a set input arrives at the program as a device's would.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from cellwright.io.image import Image
from cellwright.io.plan import Device, Direction, Plan, Tag, Value
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.simulation.devices import WireGroup
from cellwright.runtime.simulation.errors import SimulationError
from cellwright.tasks.api.plant import PlantModel, PlantOptions, PlantTime

_NOBODY: Final = "00000000"


class HeldInputs(PlantModel[PlantOptions]):
    """Inputs at their substitute or initial values, outputs taken and forgotten."""

    def __init__(self, plan: Plan, options: PlantOptions, seed: int, time: PlantTime) -> None:
        super().__init__(plan, options, seed, time)
        mirror = _mirrored(plan)
        with TemporaryDirectory(prefix="cw-sim-") as folder:
            self._image = Image.create(Path(folder) / "image", mirror, _NOBODY)
        self._encoder = ProcessImage(self._image, mirror)
        self._ports = [self._image.device(index) for index in range(len(mirror.devices))]
        self._payloads = [bytearray(device.output_size) for device in mirror.devices]
        self._groups = {
            (device.name, group.area, group.start): (index, WireGroup(group))
            for index, device in enumerate(mirror.devices)
            for group in device.groups
        }
        for tag in plan.tags:
            if tag.direction is Direction.INPUT and tag.address is not None:
                known = tag.substitute if tag.substitute is not None else tag.initial
                self._encoder.set(tag.index, known)
        self._encode()

    def set(self, tag: Tag, value: Value) -> None:
        """Hold that input tag at a value; raises SimulationError when its type or range refuse."""
        try:
            self._encoder.set(tag.index, tag.type.check(value))
        except ValueError as error:
            raise SimulationError(f"input '{tag.name}' cannot be {value!r}: {error}") from error
        self._encode()

    def _encode(self) -> None:
        self._encoder.commit(1, enabled=True)
        for port, payload in zip(self._ports, self._payloads, strict=True):
            port.read_outputs(payload)

    def advance(self, now_ns: int) -> None:
        """Nothing moves."""

    def read(self, device: str, area: str, start: int, count: int) -> Sequence[int]:
        """What is held."""
        index, group = self._groups[device, area, start]
        return group.unpack(self._payloads[index])

    def write(self, device: str, area: str, start: int, values: Sequence[int]) -> None:
        """Nobody is there to be moved."""

    def close(self) -> None:
        """Let go of the encoder's image."""
        self._image.close()


def _mirrored(plan: Plan) -> Plan:
    """The plan with its inputs as outputs, so that a commit encodes them."""
    return msgspec.structs.replace(
        plan,
        devices=tuple(_mirrored_device(device) for device in plan.devices),
        tags=tuple(_mirrored_tag(tag) for tag in plan.tags),
        tasks=(),
    )


def _mirrored_device(device: Device) -> Device:
    inputs = [group for group in device.groups if not group.output]
    return msgspec.structs.replace(
        device,
        groups=tuple(
            msgspec.structs.replace(group, index=number, output=True)
            for number, group in enumerate(inputs)
        ),
        input_size=0,
        output_size=device.input_size,
        safe_outputs=b"",
        hold_mask=b"",
    )


def _mirrored_tag(tag: Tag) -> Tag:
    if tag.direction is Direction.INPUT:
        return msgspec.structs.replace(tag, direction=Direction.OUTPUT)
    if tag.direction is Direction.OUTPUT:
        return msgspec.structs.replace(tag, direction=Direction.MEMORY, address=None)
    return tag
