"""Parts that tests and benchmarks of the OPC UA server share: plans, an image, a fake scan.

The fake stands behind the server's `CommandSender`; everything else in these tests is real: the
image, the socket, the secure channel, the client, the MES and its database.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cellwright.io.image import BlockLayout, Image, ValueViews, writer
from cellwright.io.messages import AnyCommand, ReplyCode, WriteTag, WriteTags
from cellwright.io.plan import (
    GOOD,
    SYSTEM_TAGS,
    UNCERTAIN_INITIAL,
    Address,
    AlarmGroup,
    AlarmRule,
    Code,
    Consequence,
    Device,
    Direction,
    HistorySettings,
    Limit,
    LimitKind,
    OpcUaSettings,
    Plan,
    Scale,
    ScanSettings,
    Tag,
    TagType,
    Task,
    Value,
)
from cellwright.io.plan.layout import place
from cellwright.native import ffi, lib
from cellwright.opcua_model.services.command_sender import CommandSender

START_UTC_NS = 1_790_000_000_000_000_000


class ImageBench:
    """A real image, written block by block as the scan would: what `set` wrote is published."""

    def __init__(self, plan: Plan) -> None:
        self.image = Image.create(Path(plan.folder) / "image", plan, "0123abcd")
        self.cycle = 0
        self.utc_ns = START_UTC_NS
        layout = BlockLayout(plan)
        self._block = bytearray(layout.size)
        view = memoryview(self._block)
        values = ValueViews(view[layout.values : layout.values + layout.value_size])
        end = layout.quality + 4 * layout.tags
        self._quality = view[layout.quality : end].cast("I")
        end = layout.timestamps + 8 * layout.tags
        self._stamps = view[layout.timestamps : end].cast("q")
        self._tags = {tag.name: (tag.index, writer(values, tag)) for tag in plan.tags}
        initial = {tag.name: tag.initial for tag in plan.tags}
        self.put(initial, UNCERTAIN_INITIAL)

    def set(self, name: str, value: Value, quality: int = GOOD) -> None:
        """Change a tag; the source timestamp is a millisecond after the last."""
        self.put({name: value}, quality)

    def put(self, values: Mapping[str, Value], quality: int = GOOD) -> None:
        """Change tags and publish them as the next cycle."""
        self.cycle += 1
        self.utc_ns += 1_000_000
        for name, value in values.items():
            index, write = self._tags[name]
            write(value)
            self._quality[index] = quality
            self._stamps[index] = self.utc_ns
        struct.pack_into("<Qqq", self._block, 0, self.cycle, self.utc_ns, self.utc_ns)
        area = self.image.area("snapshot")
        block = ffi.from_buffer(self._block)
        assert lib.cw_snapshot_write(area.pointer, area.size, block, len(self._block)) > 0


@dataclass
class FakeScan(CommandSender):
    """Obeys commands like the scan would, behind `CommandSender`."""

    image: ImageBench
    answer: Callable[[AnyCommand], tuple[int, str]] = lambda command: (ReplyCode.OK, "done")
    received: list[AnyCommand] = field(default_factory=list)

    async def send(self, command: AnyCommand) -> tuple[int, str]:
        self.received.append(command)
        code, text = self.answer(command)
        if code == ReplyCode.OK and isinstance(command, WriteTag):
            self.image.set(command.tag, command.value)
        if code == ReplyCode.OK and isinstance(command, WriteTags):
            self.image.put({write.tag: write.value for write in command.writes})
        return code, text


def cell_plan(
    folder: Path,
    *,
    anonymous: str = "none",
    insecure: bool = False,
    clients: str = "any",
    suppress: tuple[str, ...] = (),
    reals: int = 0,
    long: bool = False,
    alarms: int = 0,
    port: int = 0,
    host: str = "127.0.0.1",
    history: tuple[str, ...] = (),
) -> Plan:
    """A small blade-marking cell, and ``reals`` further inputs named ``real_0``...

    They are REAL, or with ``long`` LREAL. ``alarms`` is the number of alarms `alarm_rules` makes.
    ``history`` names the tags that are recorded.
    """
    drafts: list[dict[str, object]] = [
        _input("part_present", TagType(Code.BOOL), "discrete_inputs", 0),
        _input(
            "air_pressure",
            TagType(Code.REAL),
            "input_registers",
            4,
            unit="bar",
            range=(0.0, 10.0),
            scale=Scale(10 / 65535, 0.0, 0, 65535),
            description="Pressure of the clamp's supply",
        ),
        {
            "name": "clamp_close",
            "type": TagType(Code.BOOL),
            "direction": Direction.OUTPUT,
            "address": Address("remote_io", "coils", 0, TagType(Code.BOOL)),
        },
        {
            "name": "recipe",
            "type": TagType(Code.INT),
            "direction": Direction.MEMORY,
            "range": (0.0, 99.0),
            "write": ("Operator", "Supervisor"),
        },
        {
            "name": "dwell",
            "type": TagType(Code.TIME),
            "direction": Direction.MEMORY,
            "write": ("Operator",),
        },
        {
            "name": "label",
            "type": TagType(Code.STRING, 20),
            "direction": Direction.MEMORY,
            "write": ("Operator",),
        },
        {
            "name": "profile",
            "type": TagType(Code.REAL, 0, 4, is_array=True),
            "direction": Direction.MEMORY,
            "write": ("Supervisor",),
        },
        {"name": "mark.busy", "type": TagType(Code.BOOL), "direction": Direction.MEMORY},
        {"name": "mark.serial", "type": TagType(Code.STRING, 40), "direction": Direction.MEMORY},
        {"name": "inspect.read", "type": TagType(Code.STRING, 40), "direction": Direction.MEMORY},
    ]
    drafts += [
        _input(
            f"real_{number}",
            TagType(Code.LREAL if long else Code.REAL),
            "input_registers",
            100 + number,
        )
        for number in range(reals)
    ]
    drafts += [
        {
            "name": tag.name,
            "type": tag.type,
            "direction": Direction.SYSTEM,
            "unit": tag.unit,
            "description": tag.description,
        }
        for tag in SYSTEM_TAGS
    ]
    types = [draft["type"] for draft in drafts]
    offsets, size = place(types)  # type: ignore[arg-type]
    tags = tuple(
        Tag(index=index, offset=offset, initial=draft["type"].initial, **draft)  # type: ignore
        for index, (draft, offset) in enumerate(zip(drafts, offsets, strict=True))
    )
    return Plan(
        cell="BladeMarking",
        site="Plant1",
        start="stop",
        source=str(folder / "cell.yaml"),
        folder=str(folder),
        data=str(folder / "data"),
        scan=ScanSettings(
            base_ns=10_000_000, watchdog_ns=20_000_000, watchdog_sensitivity=2, priority=0, core=-1
        ),
        devices=(
            Device(name="remote_io", kind="driver", driver="modbus-tcp", options={}),
            Device(name="peen", kind="marker", driver="telesis", options={}),
        ),
        tags=tags,
        tasks=(
            _task(0, "sequence", "blade_marking.sequence:Sequence", 10_000_000),
            _task(1, "mark", "marking.station", 20_000_000),
            _task(2, "inspect", "vision.station", 20_000_000),
        ),
        opcua=OpcUaSettings(
            endpoint=f"opc.tcp://{host}:{port}",
            anonymous=anonymous,
            users_file="users.yaml",
            insecure=insecure,
            clients=clients,
            suppress=suppress,
        ),
        database=None,
        alarms=alarm_rules(alarms),
        alarm_groups=(AlarmGroup("air", 0), AlarmGroup("doors", 0)) if alarms else (),
        history=HistorySettings(deadbands=dict.fromkeys(history, 0.0)) if history else None,
        value_size=size,
        layout_hash=bytes(32),
    )


def alarm_rules(count: int) -> tuple[AlarmRule, ...]:
    """``pressure.high`` on the tag of index 1 above 6, and further ones named ``door_1``..."""
    return tuple(
        AlarmRule(
            index=index,
            name=f"door_{index}" if index else "pressure.high",
            text=f"Door {index} is open" if index else "Air pressure too high",
            severity=700 if index else 500,
            group=1 if index else 0,
            acknowledge=True,
            enabled=True,
            consequence=Consequence.NONE,
            on_delay_ns=0,
            off_delay_ns=0,
            limit=None if index else Limit(1, LimitKind.HIGH, 6.0, 0.2),
            reads=(),
            watches=(),
            shows=-1 if index else 1,
            active=0,
            acked=0,
            state=0,
        )
        for index in range(count)
    )


def _input(name: str, type_: TagType, area: str, index: int, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "type": type_,
        "direction": Direction.INPUT,
        "address": Address("remote_io", area, index, TagType(Code.UINT)),
        **more,
    }


def _task(index: int, name: str, program: str, interval_ns: int) -> Task:
    return Task(
        index=index,
        name=name,
        program=program,
        interval_ns=interval_ns,
        priority=index,
        watchdog_ns=5_000_000,
        binding={},
    )
