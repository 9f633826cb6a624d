"""A scan with alarms and heartbeats on the bench: a compiled cell, inputs by name, by-hand cycles.

The configuration goes through the real compiler; the bench plays drivers and journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellwright.io.image import AlarmStatus, AlarmView, Image, Reply
from cellwright.io.messages import AcknowledgeAlarm, AlarmChanged, ReplyCode, ShelveAlarm
from cellwright.io.plan import Plan, quality
from cellwright.io.recording.store import Policy
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.config import compile_file
from cellwright.tasks.api import BOOL, Output, Program, ProgramOptions, ScanContext
from support.recorded_cell import RecordedCell, SlowClock
from support.scan_bench import BOOT_ID, MS, UTC_NS, Bench

HEAD = """
cell: {name: Alarmed}
scan: {base: 10ms, watchdog: {time: 1s, sensitivity: 5}}
devices: {io: {driver: modbus-tcp, host: 127.0.0.1, on_loss: fault}}
tags:
  air_ok: {type: BOOL, in: "io.discrete_inputs[0]", on_loss: hold}
  door_shut: {type: BOOL, in: "io.discrete_inputs[1]", on_loss: hold}
  estop_ok: {type: BOOL, in: "io.discrete_inputs[2]", on_loss: hold}
  beat_in: {type: BOOL, in: "io.discrete_inputs[3]", on_loss: hold}
  level: {type: INT, in: "io.input_registers[0]", on_loss: hold}
  pump: {type: BOOL, out: "io.coils[0]", safe: false}
  beat_out: {type: BOOL, out: "io.coils[1]", safe: hold}
  hmi: {type: UINT, memory: true, write: [Operator]}
  speed: {type: REAL, memory: true, write: [Operator]}
  beats: {type: USINT, memory: true}
tasks:
  quiet: {program: "quiet:Quiet", interval: 10ms, watchdog: 1s, bind: {pump: pump}}
"""
PROGRAM = """
from cellwright.tasks.api import BOOL, Output, Program

class Quiet(Program):
    pump = Output(BOOL)

    def scan(self, ctx):
        self.pump = True
"""


class Quiet(Program[ProgramOptions]):
    """Drives the pump and knows nothing of alarms."""

    pump = Output(BOOL)

    def scan(self, ctx: ScanContext) -> None:
        """On, always."""
        self.pump = True


def compiled(folder: Path, sections: str, head: str = HEAD) -> Plan:
    """The plan of the bench's cell with further sections."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quiet.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "cell.yaml").write_text(head + sections, encoding="utf-8")
    return compile_file(folder / "cell.yaml", data=folder / "data")


class _Inputs(Bench):
    """Inputs by name, and what the alarms are."""

    def __init__(self, folder: Path, sections: str, *, head: str = HEAD) -> None:
        self.plan = compiled(folder, sections, head)
        self.programs = [Quiet]
        self.image = Image.create(folder / "image", self.plan, BOOT_ID)
        self.ports = [self.image.device(number) for number in range(len(self.plan.devices))]
        self.events_ring = self.image.events["scan"]
        self.journal_alive = self.drivers_alive = True
        self.taken = []
        self.payload = bytes(self.plan.devices[0].input_size)
        self.statuses = [(quality.GOOD, UTC_NS)] * len(self.plan.devices[0].groups)
        self.inputs(air_ok=True, door_shut=True, estop_ok=True)
        self.clock = SimulatedClock(start_ns=10_000 * MS, utc_offset_ns=UTC_NS)
        self.launch()

    def inputs(self, **values: int) -> None:
        """Give inputs their raw values from the next cycle on."""
        payload = bytearray(self.payload)
        for name, value in values.items():
            address = self.plan.tag(name).address
            assert address is not None
            (group,) = (
                group
                for group in self.plan.devices[0].groups
                if group.area == address.area and not group.output
            )
            place = address.index - group.start
            if group.area == "discrete_inputs":
                at, bit = group.offset + place // 8, 1 << place % 8
                payload[at] = payload[at] | bit if value else payload[at] & ~bit
            else:
                at = group.offset + 2 * place
                payload[at : at + 2] = (value & 0xFFFF).to_bytes(2, "big")
        self.payload = bytes(payload)

    def lose(self, *areas: str, status: int = quality.BAD_NO_COMMUNICATION) -> None:
        """The coupler does not answer for these areas; all others are Good."""
        self.statuses = [
            (status if group.area in areas else quality.GOOD, UTC_NS)
            for group in self.plan.devices[0].groups
        ]

    def alarms(self) -> dict[str, AlarmStatus]:
        """What a reader sees, by name."""
        view = AlarmView(self.plan, self.snapshot())
        return {status.name: status for status in view.statuses()}

    def states(self) -> dict[str, str]:
        """Name of each alarm's state."""
        return {name: status.state.name for name, status in self.alarms().items()}

    def changes(self) -> list[tuple[str, str, str]]:
        """Alarm, old and new state of all events so far."""
        return [(event.alarm, event.old, event.new) for event in self.events(AlarmChanged)]

    def wait(self, seconds: float) -> None:
        """Cycles for a time."""
        self.cycle(round(seconds * 100))


class AlarmBench(_Inputs):
    """Not recorded."""


class RecordedAlarms(_Inputs, RecordedCell):
    """Recorded, for replays."""

    def __init__(self, folder: Path, sections: str, *, head: str = HEAD) -> None:
        self.recordings = folder / "recordings"
        self.policy = Policy()
        self.watch = None
        self.store = None
        super().__init__(folder, sections, head=head)

    clock: SlowClock


def written(plan: Plan, name: str) -> Mapping[str, Any]:
    """A tag of the plan as plain data."""
    tag = plan.tag(name)
    return {"type": str(tag.type), "retain": tag.retain, "writer": tag.writer}


GROUPS = """
alarms:
  door: {when: "not door_shut", text: Door, group: guards}
  estop: {when: "not estop_ok", text: Emergency stop, group: guards}
  air: {when: "not air_ok", text: No air, group: media}
"""
AIR = """
alarms:
  air: {when: "not air_ok", text: No air, severity: 700}
"""


def acknowledge(bench: AlarmBench, name: str = "", reason: str = "seen") -> ReplyCode:
    """Acknowledge one alarm, or all; the answer's code."""
    reply = bench.send(AcknowledgeAlarm(alarm=name, actor="anna", reason=reason))
    return ReplyCode(reply.code)


def shelve(
    bench: AlarmBench, name: str, seconds: float = 60.0, reason: str = "sensor broken"
) -> Reply:
    """Put an alarm out of sight for a time."""
    return bench.send(ShelveAlarm(alarm=name, duration_s=seconds, actor="anna", reason=reason))
