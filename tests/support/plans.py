"""Plans made by hand for tests that need an image but no compiler.

`make_plan` places the tags and computes the layout hash as the compiler does; addresses and groups
are taken as they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from cellwright.io.plan import (
    SYSTEM_TAGS,
    Address,
    Device,
    Direction,
    Plan,
    PollGroup,
    ScanSettings,
    Tag,
    TagType,
    Task,
)
from cellwright.io.plan.layout import layout_hash, place

POLL_NS = 10_000_000


def make_tag(
    name: str, spelling: str, direction: Direction = Direction.MEMORY, **fields: Any
) -> Tag:
    """A tag without index and offset yet; ``spelling`` as in the configuration (``INT``)."""
    kind = TagType.parse(spelling)
    fields.setdefault("initial", kind.initial)
    return Tag(index=0, name=name, type=kind, direction=direction, offset=0, **fields)


def make_group(
    index: int, area: str, start: int, count: int, *, bits: bool, output: bool, offset: int = 0
) -> PollGroup:
    """A poll group; its size follows from the number of bits or words."""
    size = -(-count // 8) if bits else 2 * count
    return PollGroup(
        index=index, area=area, start=start, count=count, output=output, offset=offset, size=size
    )


def make_device(
    name: str, groups: Sequence[PollGroup] = (), *, kind: str = "driver", **fields: Any
) -> Device:
    """A device whose area sizes follow from its groups; outputs off and not held in safe state."""
    inputs = max((g.offset + g.size for g in groups if not g.output), default=0)
    outputs = max((g.offset + g.size for g in groups if g.output), default=0)
    fields.setdefault("safe_outputs", bytes(outputs))
    fields.setdefault("hold_mask", bytes(outputs))
    fields.setdefault("poll_ns", POLL_NS)
    return Device(
        name=name,
        kind=kind,
        driver="modbus-tcp",
        options={},
        groups=tuple(groups),
        input_size=inputs,
        output_size=outputs,
        **fields,
    )


def make_task(index: int, name: str, **fields: Any) -> Task:
    """A task that is bound to nothing, at the base interval."""
    defaults: dict[str, Any] = {
        "program": "programs:Nothing",
        "interval_ns": POLL_NS,
        "priority": index,
        "watchdog_ns": 2 * POLL_NS,
        "binding": {},
    }
    return Task(index=index, name=name, **(defaults | fields))


def make_plan(
    tags: Sequence[Tag] = (),
    devices: Sequence[Device] = (),
    tasks: Sequence[Task] = (),
    *,
    system: bool = True,
    **fields: Any,
) -> Plan:
    """A plan with these parts; the system tags come last, as from the compiler."""
    every = list(tags)
    if system:
        every += [
            Tag(
                index=0,
                name=one.name,
                type=one.type,
                direction=Direction.SYSTEM,
                offset=0,
                initial=one.type.initial,
                unit=one.unit,
                retain=one.retain,
                description=one.description,
            )
            for one in SYSTEM_TAGS
        ]
    offsets, size = place([tag.type for tag in every])
    placed = tuple(
        msgspec.structs.replace(tag, index=index, offset=offset)
        for index, (tag, offset) in enumerate(zip(every, offsets, strict=True))
    )
    defaults: dict[str, Any] = {
        "cell": "test",
        "site": "bench",
        "start": "stop",
        "source": "/nowhere/cell.yaml",
        "folder": "/nowhere",
        "data": "/nowhere/data",
        "scan": ScanSettings(
            base_ns=POLL_NS, watchdog_ns=2 * POLL_NS, watchdog_sensitivity=1, priority=0, core=-1
        ),
        "opcua": None,
        "database": None,
    }
    return Plan(
        devices=tuple(devices),
        tags=placed,
        tasks=tuple(tasks),
        value_size=size,
        layout_hash=layout_hash(placed, devices, tasks),
        **(defaults | fields),
    )


def small_plan() -> Plan:
    """One coupler with bits and words both ways, three tasks' worth of tags, one worker."""
    groups = (
        make_group(0, "discrete_inputs", 0, 16, bits=True, output=False),
        make_group(1, "input_registers", 0, 8, bits=False, output=False, offset=2),
        make_group(2, "coils", 0, 8, bits=True, output=True),
        make_group(3, "holding_registers", 0, 4, bits=False, output=True, offset=1),
    )
    coupler = make_device("coupler", groups)
    tags = [
        make_tag(
            "part_present",
            "BOOL",
            Direction.INPUT,
            address=Address("coupler", "discrete_inputs", 3, TagType.parse("BOOL")),
        ),
        make_tag(
            "pressure_raw",
            "INT",
            Direction.INPUT,
            address=Address("coupler", "input_registers", 1, TagType.parse("INT")),
        ),
        make_tag(
            "clamp",
            "BOOL",
            Direction.OUTPUT,
            address=Address("coupler", "coils", 2, TagType.parse("BOOL")),
            writer="control",
        ),
        make_tag(
            "speed",
            "UINT",
            Direction.OUTPUT,
            address=Address("coupler", "holding_registers", 0, TagType.parse("UINT")),
            writer="control",
        ),
        make_tag("strokes", "UDINT", retain=True, writer="control"),
        make_tag("serial", "STRING(20)", writer="control"),
        make_tag("recipe", "ARRAY[0..3] OF REAL", write=("operator",)),
    ]
    tasks = [make_task(0, "control"), make_task(1, "vision", worker="programs:Eyes")]
    return make_plan(tags, [coupler], tasks)
