"""A scan on a real image with a clock that stands still: cycles are stepped by hand.

The bench plays everybody around the scan: the driver publishes inputs, the journal acknowledges
events, the supervisor restarts workers. Nothing of the scan itself is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cellwright.io.image import Image, Reply, SnapshotReader
from cellwright.io.messages import AnyCommand, AnyEvent, SetMode, decode_event, encode
from cellwright.io.messages.scan_start import ScanStart
from cellwright.io.plan import Address, Device, Direction, OnLoss, Plan, Tag, TagType, quality
from cellwright.io.timing.clock import SimulatedClock
from cellwright.runtime.scan.cycle import Scan
from cellwright.tasks.api import Program, ProgramOptions, ScanContext, Variable
from support.plans import POLL_NS, make_device, make_group, make_plan, make_tag, make_task

BOOT_ID = "0123abcd"
UTC_NS = 1_760_000_000_000_000_000
MS = 1_000_000


def program(
    scan: Callable[[Any, ScanContext], None],
    recover: Callable[[Any, Sequence[AnyEvent], ScanContext], None] | None = None,
    **variables: Variable,
) -> type[Program[ProgramOptions]]:
    """A program class with these variables whose ``scan`` (and ``recover``) are functions."""
    body: dict[str, Any] = {**variables, "scan": scan}
    if recover is not None:
        body["recover"] = recover
    return type("Bench", (Program,), body)


def coupler(*, on_loss: OnLoss = OnLoss.HOLD) -> Device:
    """Sixteen input bits and eight coils."""
    groups = (
        make_group(0, "discrete_inputs", 0, 16, bits=True, output=False),
        make_group(1, "coils", 0, 8, bits=True, output=True),
    )
    return make_device("coupler", groups, on_loss=on_loss)


def input_bit(name: str, index: int, **fields: Any) -> Tag:
    """A BOOL read from the coupler."""
    address = Address("coupler", "discrete_inputs", index, TagType.parse("BOOL"))
    return make_tag(name, "BOOL", Direction.INPUT, address=address, **fields)


def output_bit(name: str, index: int, **fields: Any) -> Tag:
    """A BOOL driven on the coupler."""
    address = Address("coupler", "coils", index, TagType.parse("BOOL"))
    return make_tag(name, "BOOL", Direction.OUTPUT, address=address, **fields)


class Bench:
    """One scan and its surroundings. ``programs`` maps task names to program classes.

    Variables are bound to the tags of their own name. ``timing`` gives further fields of a task.
    """

    def __init__(
        self,
        folder: Path,
        tags: Sequence[Tag],
        programs: Mapping[str, type[Program[Any]]],
        *,
        devices: Sequence[Device] = (),
        timing: Mapping[str, Mapping[str, Any]] | None = None,
        **fields: Any,
    ) -> None:
        self.clock = SimulatedClock(start_ns=10_000 * MS, utc_offset_ns=UTC_NS)
        index = {tag.name: number for number, tag in enumerate(tags)}
        tasks = [
            make_task(
                number,
                name,
                binding={variable: index[variable] for variable in kind.variables()},
                **(timing or {}).get(name, {}),
            )
            for number, (name, kind) in enumerate(programs.items())
        ]
        self.plan: Plan = make_plan(tags, devices, tasks, **fields)
        self.programs = list(programs.values())
        self.image = Image.create(folder / "image", self.plan, BOOT_ID)
        self.ports = [self.image.device(number) for number in range(len(devices))]
        self.events_ring = self.image.events["scan"]
        self.journal_alive = True
        self.payload = bytes(2)
        self.statuses: list[tuple[int, int]] = [(quality.GOOD, UTC_NS)] * 2
        self.drivers_alive = True
        self.taken: list[AnyEvent] = []
        self.launch()

    def launch(self, start: ScanStart | None = None) -> None:
        """A new scan process on the same image, as the supervisor starts one."""
        self.image.scan.started_ns = self.clock.now_ns()
        self.image.scan.skipped_ticks = 0
        self.tick = 0
        self.image.journal.ok = True
        self.scan = Scan(self.plan, self.image, start or scan_start(), self.clock, self.programs)

    # --- time -------------------------------------------------------------------------------------

    def cycle(self, count: int = 1) -> None:
        """Run cycles at the base interval."""
        for _ in range(count):
            now_ns = self.clock.now_ns()
            if self.journal_alive:
                self.image.processes["journal"].beat_ns = now_ns
            if self.drivers_alive:
                for port in self.ports:
                    port.publish_inputs(self.payload, self.statuses, now_ns)
            self.scan.cycle(self.tick, now_ns, self.clock.utc_ns())
            self.tick += 1
            self.clock.advance(max(0, now_ns + POLL_NS - self.clock.now_ns()))

    def skip(self, ticks: int) -> None:
        """Let ticks pass in which no cycle ran, as the scan process accounts for them."""
        self.image.scan.skipped_ticks += ticks
        self.tick += ticks
        self.clock.advance(ticks * POLL_NS)

    def run(self) -> None:
        """First cycle, then start; the tasks run in the cycle that obeys the start."""
        self.cycle()
        assert self.request("start").code == 0, self.scan.state

    # --- commands and events ----------------------------------------------------------------------

    def send(self, command: AnyCommand | bytes) -> Reply:
        """Send a command, run one cycle, and return the answer."""
        data = command if isinstance(command, bytes) else encode(command)
        ticket = self.image.commands.send(data)
        self.cycle()
        reply = self.image.commands.result(ticket)
        assert reply is not None, "the scan did not answer in the cycle after the command"
        return reply

    def request(self, request: str) -> Reply:
        """Start, stop or reset, as an operator."""
        return self.send(SetMode(request=request, actor="operator", reason="test"))

    def acknowledge(self) -> None:
        """The journal makes everything durable that lies on the ring."""
        for sequence, data in self.events_ring.peek():
            self.taken.append(decode_event(data))
            self.events_ring.acknowledge(sequence)

    def events(self, kind: type | None = None) -> list[Any]:
        """All events so far, or those of one kind; takes them off the ring."""
        self.acknowledge()
        return [event for event in self.taken if kind is None or isinstance(event, kind)]

    # --- looking ----------------------------------------------------------------------------------

    def snapshot(self) -> SnapshotReader:
        """What a reader sees after the last cycle."""
        reader = self.image.snapshot_reader()
        assert reader.read()
        return reader

    def value(self, name: str) -> Any:
        """A tag's published value."""
        return self.snapshot().value(self.plan.tag(name).index)

    def quality(self, name: str) -> int:
        """A tag's published quality."""
        return self.snapshot().quality(self.plan.tag(name).index)

    def outputs(self, device: int = 0) -> tuple[bytes, bool]:
        """What the device gets: payload, and whether outputs are enabled."""
        payload = bytearray(self.plan.devices[device].output_size)
        header = self.ports[device].read_outputs(payload)
        return bytes(payload), header.enabled


def scan_start(
    retained: Mapping[str, Any] | None = None,
    events: Sequence[AnyEvent] = (),
    boot_id: str = BOOT_ID + "00",
) -> ScanStart:
    """What the supervisor leaves for a scan."""
    return ScanStart(
        boot_id=boot_id,
        retained=dict(retained or {}),
        open_events=[encode(event) for event in events],
        restarted=False,
        notes=[],
    )
