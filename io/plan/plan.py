"""The compiled configuration: what every process receives instead of the YAML.

``runtime.compiler`` makes a `Plan` once; nothing changes it afterwards. Everything in it is plain
data (msgpack), every name is resolved, every address checked, every offset fixed. Two processes
that hold plans with different ``layout_hash`` refuse to share an image.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from cellwright.io.plan.conditions import Step
from cellwright.io.plan.history import HistorySettings
from cellwright.io.plan.iec import TagType, Value
from cellwright.io.plan.recorder import RecorderSettings
from cellwright.io.plan.web import WebSettings


class Direction(StrEnum):
    """Where a tag's value comes from and goes to."""

    INPUT = "input"
    """Read from a device; written by the latch."""
    OUTPUT = "output"
    """Written by one task (or by command), committed to a device."""
    MEMORY = "memory"
    """Lives in the image only; written by one task or by command."""
    SYSTEM = "system"
    """Written by the runtime, read by everyone."""


class OnLoss(StrEnum):
    """What a tag shows when its device does not answer."""

    HOLD = "hold"
    SUBSTITUTE = "substitute"
    FAULT = "fault"


class SafeAction(StrEnum):
    """What an output does in the safe state."""

    VALUE = "value"
    HOLD = "hold"
    OFF = "off"


class WireOrder(StrEnum):
    """Order of bytes on the wire for values wider than a byte: A is the most significant."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


class Encoding(StrEnum):
    """How the text of a STRING lies in a device."""

    UTF_8 = "utf-8"
    ASCII = "ascii"
    LATIN_1 = "latin-1"
    LATIN_9 = "iso8859-15"
    CP1250 = "cp1250"
    CP1251 = "cp1251"
    CP1252 = "cp1252"
    CP437 = "cp437"
    CP850 = "cp850"

    def code_points(self) -> list[int]:
        """Of all but UTF-8: the code point of each byte, 0 where the encoding has none."""
        return [ord((bytes([byte]).decode(self.value, "ignore")) or "\0") for byte in range(256)]


class Address(msgspec.Struct, frozen=True):
    """A place in a device: ``device.area[index]`` and, in a word, ``.bit``.

    ``wire`` is the type as the device sends it; it differs from the tag's type when scaled.
    """

    device: str
    area: str
    index: int
    wire: TagType
    bit: int | None = None
    order: WireOrder = WireOrder.ABCD
    encoding: Encoding = Encoding.UTF_8


class Scale(msgspec.Struct, frozen=True):
    """Linear scaling: ``eng = gain * raw + offset``; on output the inverse, rounded, clamped."""

    gain: float
    offset: float
    raw_low: float
    raw_high: float


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """One tag. ``index`` is its place in the plan's tag table and in quality/timestamp arrays."""

    index: int
    name: str
    type: TagType
    direction: Direction
    offset: int
    """Byte offset of the value in the image's value area."""
    initial: Value
    address: Address | None = None
    unit: str = ""
    """UNECE symbol as written in the configuration (``bar``, ``degC``, ``mm``)."""
    range: tuple[float, float] | None = None
    scale: Scale | None = None
    on_loss: OnLoss = OnLoss.HOLD
    substitute: Value | None = None
    safe_action: SafeAction = SafeAction.OFF
    safe: Value | None = None
    """Value in the safe state when ``safe_action`` is VALUE."""
    retain: bool = False
    write: tuple[str, ...] = ()
    """Roles that may write it by command; empty: nobody."""
    writer: str | None = None
    """Task that writes it, None when none does."""
    readers: tuple[str, ...] = ()
    description: str = ""

    @property
    def default(self) -> Value:
        """Value before anything was read or computed."""
        return self.initial


class PollGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive addresses of one area that a driver moves in one request.

    The payload has the device's wire form: bit areas are packed eight to a byte, least
    significant bit first; word areas are 16-bit big-endian words.
    """

    index: int
    """Place in the device's list of groups."""
    area: str
    start: int
    count: int
    """Bits or words, as the area has it."""
    output: bool
    offset: int
    """Byte offset of the payload in the device's input or output area."""
    size: int
    """Bytes of the payload."""


SIMULATED: Final = "simulated"
"""Driver of devices that are not there."""

MOST_PARTS: Final = 32
"""Parts of a group; their absence is told by the bits of one word."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One device: a field device with poll groups, a marker or a camera."""

    name: str
    kind: str
    """``driver``, ``marker`` or ``camera``."""
    driver: str
    """Entry-point name (``modbus-tcp``, ``telesis``, ...)."""
    options: dict[str, Any]
    """Validated options of that driver."""
    poll_ns: int = 0
    on_loss: OnLoss = OnLoss.HOLD
    groups: tuple[PollGroup, ...] = ()
    input_size: int = 0
    output_size: int = 0
    safe_outputs: bytes = b""
    """Payload of the output area in the safe state (``output_size`` bytes)."""
    hold_mask: bytes = b""
    """Bits set where the safe action is hold: keep what was last written (``output_size``)."""
    parts: tuple[tuple[tuple[int, int], ...], ...] = ()
    """For each group the spans (start, end) of its area that tags lie in, at most `MOST_PARTS`. A
    device that lacks some of the addresses is read part by part, and each has its quality."""

    def parts_of(self, group: PollGroup) -> tuple[tuple[int, int], ...]:
        """The parts of an input group in their order, the whole when there is nothing to divide."""
        known = self.parts[group.index] if group.index < len(self.parts) else ()
        return known or ((group.start, group.start + group.count),)


class TaskKind(StrEnum):
    """When a task runs."""

    CYCLIC = "cyclic"
    """At an interval."""
    EVENT = "event"
    """In the cycle that shows an edge of its tag."""
    FREEWHEELING = "freewheeling"
    """In the slack of a cycle, while its watchdog time fits."""


class Edge(StrEnum):
    """The change of a BOOL tag that runs an event task."""

    RISING = "rising"
    FALLING = "falling"
    BOTH = "both"


class OverrunPolicy(StrEnum):
    """What becomes of a cyclic task's executions in ticks that a late cycle covered."""

    SKIP = "skip"
    """They are counted; the task continues in phase."""
    LATE = "late"
    """The next cycle makes up for them once; then the task continues in phase."""
    FAULT = "fault"
    """The cell goes to FAULT."""


MOST_CYCLES: Final = 1_000_000
"""Longest deadline of a job."""


class Deadline(msgspec.Struct, frozen=True):
    """How long a job may take, and what stands for its answer then.

    ``cycles`` (1 to 1,000,000) are cycles of the scan in which tasks run, counted from the one
    that submitted the job: an answer that is latched in the last of them is in time. ``value`` is
    the body of the result when none was: plain data (None, bool, int, float, str, bytes, lists,
    mappings with text keys). Raises ValueError otherwise.
    """

    cycles: int
    value: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not 1 <= self.cycles <= MOST_CYCLES:
            raise ValueError(
                f"a deadline of {self.cycles} cycles: write 1 to {MOST_CYCLES:,} cycles of the scan"
            )
        try:
            plain = msgspec.msgpack.decode(msgspec.msgpack.encode(self.value)) == self.value
        except (TypeError, msgspec.MsgspecError, UnicodeError, OverflowError):
            plain = False
        if not plain or any(type(key) is not str for key in self.value):
            raise ValueError(
                f"the value of a deadline is {self.value!r}: write a mapping of texts to numbers, "
                f"texts, lists and mappings, as a worker's answer has them"
            )


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task of the scan. Exactly one of interval, event and freewheeling says when it runs."""

    index: int
    name: str
    program: str
    """``module:Class`` or an entry-point name of ``cellwright.programs``."""
    interval_ns: int = 0
    """Of a cyclic task; 0 of all others."""
    phase_ns: int = 0
    event: int | None = None
    """Index of the BOOL tag whose edge runs the task."""
    edge: Edge = Edge.RISING
    freewheeling: bool = False
    priority: int
    """0 is the most urgent, as in IEC 61131-3."""
    overrun: OverrunPolicy = OverrunPolicy.SKIP
    watchdog_ns: int
    watchdog_sensitivity: int = 1
    watchdog_omitted: int = 0
    """Executions missed in a row that fault the cell; 0: any number may be missed."""
    binding: dict[str, int]
    """Program variable to tag index; complete."""
    options: dict[str, Any] = {}
    worker: str | None = None
    """``module:Class`` of its worker process, None when it has none."""
    deadlines: dict[str, Deadline] = {}
    """By kind of job; a job of another kind waits as long as its worker lives."""

    @property
    def kind(self) -> TaskKind:
        """When it runs."""
        if self.freewheeling:
            return TaskKind.FREEWHEELING
        return TaskKind.CYCLIC if self.event is None else TaskKind.EVENT


class LimitKind(StrEnum):
    """Which side of a limit is the alarm."""

    HIGH_HIGH = "high_high"
    HIGH = "high"
    LOW = "low"
    LOW_LOW = "low_low"


class Limit(msgspec.Struct, frozen=True):
    """A limit of an analog tag: passed at ``at``, left ``deadband`` inside it."""

    tag: int
    kind: LimitKind
    at: float
    deadband: float


class Consequence(StrEnum):
    """What an alarm that comes in RUN does to the cell."""

    NONE = "none"
    STOP = "stop"
    FAULT = "fault"


class AlarmRule(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm: a condition (``when`` or ``limit``) and what is made of it."""

    index: int
    name: str
    text: str
    severity: int
    """1 to 1000, as OPC UA has it (OPC 10000-9, 5.5.2)."""
    group: int
    """Place in the plan's list of groups."""
    acknowledge: bool
    """False: it needs no acknowledgement."""
    enabled: bool
    consequence: Consequence
    on_delay_ns: int
    off_delay_ns: int
    when: tuple[Step, ...] = ()
    limit: Limit | None = None
    reads: tuple[int, ...]
    """Tags whose value counts: the alarm keeps its state while one of them is Bad."""
    watches: tuple[int, ...]
    """Tags whose value or quality counts."""
    shows: int = -1
    """Tag whose value goes with the events, -1 for none."""
    active: int
    """Its system tags: BOOL, BOOL and the state's number (retained)."""
    acked: int
    state: int


class AlarmGroup(msgspec.Struct, frozen=True):
    """Alarms with a first-out of their own."""

    name: str
    first_out: int
    """System tag with the name of the first alarm (retained)."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life, sent or expected or both; tag indexes are -1 for what is not used."""

    index: int
    name: str
    send: int
    period_ns: int
    expect: int
    timeout_ns: int
    alive: int
    """System tags: the other side is heard; it is not heard for longer than the timeout."""
    lost: int


class ScanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The beat. ``core`` -1 means not pinned, ``priority`` 0 means no real-time class."""

    base_ns: int
    watchdog_ns: int
    watchdog_sensitivity: int
    priority: int
    core: int
    awake: bool = False
    """No core may sleep while the scan runs."""
    spin_ns: int = 0
    """So long before its tick the scan wakes, and waits for it on its core; 0: it sleeps."""


class OpcUaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server: see ``docs/reference/configuration.md``."""

    endpoint: str
    anonymous: str
    """``none`` or ``read``."""
    users_file: str
    insecure: bool = False
    """Also offer SecurityPolicy None."""
    clients: str = "trusted"
    """Whose certificates are accepted: ``trusted`` or ``any``."""
    suppress: tuple[str, ...] = ()
    """Checks of certificates that may fail: ``validity``, ``usage``, ``revocation``."""


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the figures for Prometheus are served."""

    host: str
    port: int


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the cell is simulated with."""

    plant: str
    """``module:Class`` of the plant model."""
    options: dict[str, Any] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The whole cell, compiled."""

    cell: str
    site: str
    start: str
    """``run``: go to RUN after a clean start; ``stop``: wait for an operator."""
    mode: str = "remote"
    """Where the keyswitch stands when no tag says so: ``stop``, ``run`` or ``remote``."""
    keyswitch: str = ""
    """Name of the tag that the keyswitch is read from; empty when there is none."""
    crash_deaths: int = 5
    """So many deaths of one process ..."""
    crash_within_ns: int = 60_000_000_000
    """... in this time are a crash loop."""
    source: str
    """Absolute path of the configuration file."""
    folder: str
    """Folder of the configuration file; program modules and templates are looked up here."""
    data: str
    """Absolute path of the data folder: journal, retained values, certificates."""
    scan: ScanSettings
    devices: tuple[Device, ...]
    tags: tuple[Tag, ...]
    tasks: tuple[Task, ...]
    opcua: OpcUaSettings | None
    database: str | None
    """SQLAlchemy URL of the MES store; a relative SQLite path is made absolute in ``data``."""
    master_data: str | None = None
    """Absolute path of the file with part definitions and orders that the MES loads at start."""
    metrics: MetricsSettings | None = None
    web: WebSettings | None = None
    alarms: tuple[AlarmRule, ...] = ()
    alarm_groups: tuple[AlarmGroup, ...] = ()
    heartbeats: tuple[Heartbeat, ...] = ()
    recorder: RecorderSettings = RecorderSettings()
    history: HistorySettings | None = None
    """None when no tag is recorded."""
    simulation: SimulationSettings | None = None
    value_size: int
    """Bytes of the image's value area."""
    layout_hash: bytes
    """SHA-256 over everything that fixes a byte's place and meaning in the image."""

    def tag(self, name: str) -> Tag:
        """The tag of that name; raises KeyError."""
        for tag in self.tags:
            if tag.name == name:
                return tag
        raise KeyError(name)

    @property
    def simulated(self) -> str:
        """``SIMULATED DEVICES: io, robot``, for all who show the cell; empty when all are real."""
        names = [device.name for device in self.devices if device.driver == SIMULATED]
        return f"SIMULATED DEVICES: {', '.join(names)}" if names else ""

    def device(self, name: str) -> Device:
        """The device of that name; raises KeyError."""
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)


_decoder = msgspec.msgpack.Decoder(Plan)


def dump(plan: Plan) -> bytes:
    """The plan as msgpack."""
    return msgspec.msgpack.encode(plan)


def load(data: bytes) -> Plan:
    """A plan from `dump`; raises ValueError when the bytes are not one."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a compiled plan: {error}") from error
