"""Puts simulated devices in the place of real ones, and says which devices of a plan are simulated.

`run --simulate` asks for it before anything starts, and an online change for the new plan of a cell
that runs so. A plan that was made here is never to be taken for one of a real cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from cellwright.io.drivers.base import Driver
from cellwright.io.drivers.simulated.options import SimulatedOptions
from cellwright.io.files.problems import nearest
from cellwright.io.options import from_plan
from cellwright.io.plan import SIMULATED, Code, Device, Direction, Plan, Tag, Value
from cellwright.io.registry import registry
from cellwright.runtime.config.tags.addresses import encode

ALL: Final = "all"


def stood_in_for(plan: Plan) -> list[str]:
    """Devices that the file declares otherwise."""
    return [
        device.name
        for device in plan.devices
        if device.driver == SIMULATED and device.options.get("stands_for")
    ]


def simulate_devices(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with simulated devices in the place of these field devices, or of ``all`` of them.

    Their inputs hold the substitute or initial values of their tags, within the tags' ranges; their
    outputs are kept. Raises ValueError for a name that is no field device.
    """
    known = [device.name for device in plan.devices if device.kind == "driver"]
    for name in names:
        if name == ALL or name in known:
            continue
        other = next((device for device in plan.devices if device.name == name), None)
        if other is not None:
            raise ValueError(
                f"--simulate {name}: it is a {other.kind}, and only field devices have a simulated "
                f"one; they are {', '.join(known) or 'none'}"
            )
        raise ValueError(
            f"--simulate {name}: {plan.source} has no such device; {nearest(name, known)}"
        )
    chosen = set(known if ALL in names else names)
    devices = tuple(
        _stand_in(device, plan.tags) if device.name in chosen else device for device in plan.devices
    )
    return msgspec.structs.replace(plan, devices=devices)


def _stand_in(device: Device, tags: Sequence[Tag]) -> Device:
    if device.driver == SIMULATED:
        return device
    kind: Any = registry.load("drivers", device.driver)
    assert issubclass(kind, Driver)
    areas = kind.areas_of(from_plan(kind.Options, device.options))
    bits = {area.name for area in areas if area.bits}
    values: dict[str, int] = {}
    for tag in tags:
        if tag.direction is Direction.INPUT and tag.address and tag.address.device == device.name:
            _hold(tag, tag.address.area in bits, values)
    options = SimulatedOptions.standing_for(device.driver, areas, values)
    return msgspec.structs.replace(device, driver=SIMULATED, options=options)


def _hold(tag: Tag, bits: bool, values: dict[str, int]) -> None:
    """Add what the tag's addresses hold; words of several tags are put together."""
    address = tag.address
    assert address is not None
    value = _gentle(tag)
    if bits:
        for number, item in enumerate(value if isinstance(value, list) else [value]):
            values[f"{address.area}[{address.index + number}]"] = int(bool(item))
        return
    if tag.type.code is Code.STRING:
        texts = value if isinstance(value, list) else [value]
        coding = address.encoding.value
        value = [str(text).encode(coding, "replace").decode(coding, "ignore") for text in texts]
    data = encode(value, address, tag.scale)
    for number in range(len(data) // 2):
        key = f"{address.area}[{address.index + number}]"
        word = int.from_bytes(data[2 * number : 2 * number + 2], "big")
        values[key] = values.get(key, 0) | word if address.bit is not None else word


def _gentle(tag: Tag) -> Value:
    """What the input shows: its substitute or initial value, or the middle of its range."""
    value = tag.initial if tag.substitute is None else tag.substitute
    if tag.range is None:
        return value
    low, high = tag.range
    middle = (low + high) / 2
    inside = middle if tag.type.code in (Code.REAL, Code.LREAL) else int(middle)

    def fits(item: Any) -> Any:
        return item if low <= item <= high else inside

    return [fits(item) for item in value] if isinstance(value, list) else fits(value)
