"""The shape of ``cell.yaml``: one pydantic model a section, a docstring under every key.

The compiler validates each entry with these models, editors get the JSON Schema made from them,
and the configuration reference is printed from the docstrings. Rules that need more than one
entry live in the compiler's phases, not here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from cellwright.io.files.problems import nearest
from cellwright.io.plan import Code, Edge, Encoding, OverrunPolicy, TagType, WireOrder, units
from cellwright.io.plan.iec import meant
from cellwright.runtime.config.sections.addresses import Listen, on_this_machine
from cellwright.runtime.config.sections.durations import Duration, DurationOrZero, problem
from cellwright.runtime.config.sections.history import History, RecordedTag
from cellwright.runtime.config.sections.limits import (
    DeadlineField,
    TaskWatchdogField,
    WatchdogField,
)
from cellwright.runtime.config.sections.recorder import Recorder
from cellwright.runtime.config.sections.section import TAKES, Section
from cellwright.runtime.config.sections.web import Web

ROLES: Final = (
    "Admin",
    "Manager",
    "Supervisor",
    "Planner",
    "Operator",
    "QualityEngineer",
    "QualityInspector",
    "Maintenance",
)
"""Roles of the people in a plant, as the MES knows them; a tag may be written by some of them."""


def _type(text: str) -> str:
    try:
        return str(TagType.parse(text))
    except ValueError as error:
        other = meant(text)
        close = f"write {other}" if other else nearest(text, _TYPE_NAMES)
        raise problem(
            f"'{text[:60]}' is not the type of a tag",
            f"{error}",
            close if other or close.startswith("did you mean") else "correct the type",
        ) from error


_TYPE_NAMES: Final = [code.name for code in Code]


def _unit(symbol: str) -> str:
    try:
        return units.lookup(symbol).symbol
    except units.UnknownUnitError as error:
        near = " or ".join(f"'{known}'" for known in units.suggest(symbol))
        raise problem(
            f"'{symbol}' is not a known unit",
            "OPC UA clients need the UNECE code that belongs to it",
            f"did you mean {near}?" if near else "write one of the reference's list, or none",
        ) from error


def _role(name: str) -> str:
    if name not in ROLES:
        raise problem(
            f"'{name}' is not a role",
            "rights are given to roles, not to persons",
            nearest(name, ROLES),
        )
    return name


def _pair(values: list[float]) -> list[float]:
    low, high = values
    if low >= high:
        raise problem(
            f"the range {low:g} to {high:g} is empty",
            "its first value must be below the second",
            "swap the two" if low > high else "make them differ",
        )
    return values


def _span(values: list[float]) -> list[float]:
    if values[0] == values[1]:
        raise problem(
            f"the span from {values[0]:g} to {values[1]:g} is zero",
            "a line through it has no slope",
            "give the values at both ends of the sensor's range",
        )
    return values


_ENDPOINT: Final = re.compile(
    r"opc\.tcp://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})(/[^\s]*)?", re.ASCII
)


def _endpoint(text: str) -> str:
    match = _ENDPOINT.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise problem(
            f"'{text}' is not an endpoint",
            "the server needs a scheme, an address to listen on and a port up to 65535",
            "write one like opc.tcp://0.0.0.0:4840",
        )
    return text


def _database(text: str) -> str:
    # The URL may hold a password: complaints never repeat it.
    why = "the store is SQLite or PostgreSQL, named by an SQLAlchemy URL"
    remedy = "write sqlite:///blade.db or postgresql+psycopg://user@host/database"
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise problem("this is not a database URL", why, remedy) from error
    if parts.scheme not in ("sqlite", "postgresql", "postgresql+psycopg") or "://" not in text:
        raise problem("this is not a database URL that the MES understands", why, remedy)
    if parts.scheme == "sqlite" and (not parts.path.strip("/") or parts.netloc):
        raise problem(
            "this SQLite URL names no file",
            "a store in memory forgets every part at the end",
            "write three slashes and a file name: sqlite:///blade.db",
        )
    if parts.scheme != "sqlite" and not parts.path.strip("/"):
        raise problem("this URL names no database", why, remedy)
    return text


Scalar = bool | int | float | str
TagValue = Annotated[
    Scalar | list[Scalar],
    WithJsonSchema(
        {TAKES: "value of the tag's type", "type": ["boolean", "number", "string", "array"]}
    ),
]
Unit = Annotated[
    str,
    AfterValidator(_unit),
    WithJsonSchema({"type": "string", "examples": [*units.UNITS]}),
]
Role = Annotated[str, AfterValidator(_role), WithJsonSchema({"enum": list(ROLES)})]
Pair = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_pair)]
Span = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_span)]
AlarmName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]
Loss = Literal["hold", "substitute", "fault"]
Encodings = Literal[
    "utf-8", "ascii", "latin-1", "iso8859-15", "cp1250", "cp1251", "cp1252", "cp437", "cp850"
]

assert {member.value for member in WireOrder} == {"ABCD", "CDAB", "BADC", "DCBA"}
assert {member.value for member in Encoding} == set(get_args(Encodings))
assert {member.value for member in Edge} == {"rising", "falling", "both"}
assert {member.value for member in OverrunPolicy} == {"skip", "late", "fault"}


class CrashLoop(Section):
    """When the supervisor takes the deaths of a process for a crash loop."""

    deaths: int = Field(5, ge=2, le=1000)
    """So many deaths of one process ..."""
    within: Duration = 60_000_000_000
    """... in this time. Then it is started again after growing pauses up to 30 s, and nothing goes
    to RUN by itself until somebody resets or starts the cell."""


class Cell(Section):
    """What the cell is called and how it starts."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")
    """Name of the cell: letters, digits, `_` and `-`. OPC UA clients see it under Machines."""
    site: str = Field("", max_length=64)
    """Name of the plant or line, for people and records."""
    start: Literal["run", "stop"] = "stop"
    """`run`: go to RUN after a clean start; `stop`: wait for an operator."""
    mode: Literal["stop", "run", "remote"] = "remote"
    """Keyswitch without a key: `remote` lets clients on the network start the cell, `run` only
    those who sit at it, `stop` nobody."""
    keyswitch: str | None = Field(None, min_length=1)
    """Tag that a real keyswitch is wired to: 0 STOP, 1 RUN, 2 REMOTE. It replaces `mode`."""
    data: str = Field("./data", min_length=1)
    """Folder for journal, retained values, database and certificates; relative to this file."""
    crash_loop: CrashLoop = CrashLoop()
    """When deaths of a process are a crash loop."""


class Realtime(Section):
    """What the scan process asks of the operating system."""

    priority: int = Field(0, ge=0, le=99)
    """SCHED_FIFO priority, 1 to 99; 0 asks for no real-time class."""
    core: int = Field(-1, ge=-1, le=1023)
    """Processor core to which the scan is pinned; -1 pins it nowhere."""
    awake: bool = False
    """Keep the processor from sleeping between cycles, so that a cycle starts sooner after its
    tick; costs power and heat."""
    spin: DurationOrZero = 0
    """Wake this long before each tick and wait for it busily, so that a wake-up that is late by
    less starts the cycle on time all the same; takes this share of the core. At most half the base
    interval; needs `priority` and `core`."""


class Scan(Section):
    """The beat of the cell."""

    base: Duration
    """Base interval: the scan runs once in this time, task intervals are multiples of it."""
    watchdog: WatchdogField | None = None
    """Watchdog of the scan. The drivers take the outputs away when its heartbeat is late by
    ``time``; the cell goes to FAULT when ``sensitivity`` cycles in a row last longer than ``time``.
    Default: twice the base interval, two in a row."""
    realtime: Realtime = Realtime()
    """Real-time class and processor core. Default: none."""


class Device(Section):
    """One device. Keys beside these belong to its driver and are listed under the driver."""

    model_config = ConfigDict(extra="allow")

    driver: str
    """Name of a driver, marker or camera."""
    poll: Duration | None = None
    """Field devices: how often inputs are read and outputs written. Default: the base interval."""
    on_loss: Loss | None = None
    """Field devices: what its tags show while it does not answer: `hold` the last value
    (quality Uncertain), `substitute` the declared value (Uncertain), or `fault` the cell (Bad).
    Default: `hold`."""
    order: Order | None = None
    """Field devices: order of bytes for values wider than a word, `A` the most significant.
    Default: `ABCD`."""
    encoding: Encodings | None = None
    """Field devices: encoding of its texts. A text that is none in it is Bad. Default: `utf-8`."""
    gap: int | None = Field(None, ge=0, le=2000)
    """Field devices: most unused addresses between two inputs that are read along to save a
    request; 0 reads nothing that no tag asks for. Default: 16 words, 64 bits."""


class ScaleModel(Section):
    """Two points of a straight line between the device's raw value and engineering units."""

    raw: Span
    """Raw values at both ends."""
    eng: Span
    """Engineering values at the same ends."""


class Tag(Section):
    """One tag. Exactly one of `in`, `out` and `memory` says where its value lives."""

    type: Annotated[
        str,
        AfterValidator(_type),
        WithJsonSchema({"type": "string", "examples": [*_TYPE_NAMES, "ARRAY[0..9] OF REAL"]}),
    ]
    """IEC 61131-3 type: BOOL, SINT, INT, DINT, LINT, USINT, UINT, UDINT, ULINT, REAL, LREAL, TIME,
    STRING(n), or ARRAY[0..n] OF one of them. TIME values are written in nanoseconds."""
    in_: str | None = Field(None, alias="in")
    """Address that is read: `device.area[index]`, or `device.area[index].bit` for a BOOL in a
    word."""
    out: str | None = None
    """Address that is written, spelled like `in`. A word with bit tags is written whole; its other
    bits are 0."""
    memory: bool | None = None
    """`true`: the value lives in the image only, written by one task or by command."""
    description: str = Field("", max_length=400)
    """One sentence for people; OPC UA clients see it."""
    unit: Unit = ""
    """Engineering unit, by its UNECE symbol (`mm`, `bar`, `degC`). A program variable that is bound
    to the tag has the same unit or none, and a condition compares tags of one unit."""
    range: Pair | None = None
    """Lowest and highest sensible value in engineering units; outside, quality is Uncertain."""
    scale: ScaleModel | None = None
    """Linear scaling between the raw value of the device and engineering units."""
    initial: TagValue | None = None
    """Value after a cold start. Default: that of the program variable which writes the tag, else
    zero, FALSE or empty."""
    on_loss: Loss | None = None
    """Inputs: overrides the device's `on_loss` for this tag."""
    substitute: TagValue | None = None
    """Inputs: value while the device does not answer. Giving it implies `on_loss: substitute`;
    without it a substituting tag shows its initial value."""
    safe: TagValue | None = None
    """Outputs, required: what is written in the safe state. A value, `hold` (what was written
    last) or `off` (all bits zero, whatever the scale)."""
    retain: bool = False
    """Memory tags: the value survives a warm start and a power failure."""
    history: RecordedTag = None
    """Record the tag over time: `true`, or `{deadband: 0.1}`. Needs `mes`."""
    write: list[Role] = Field(default_factory=list)
    """Roles that may write the tag by command. Only for tags that no task writes."""
    wire: str | None = None
    """Type in the device's words (UINT, INT, UDINT, DINT, ULINT, LINT, REAL, LREAL; STRING(n) for
    a STRING that is longer or shorter there). Default: the tag's type; for a scaled tag UINT or
    INT, as the raw values need."""
    order: Order | None = None
    """Order of bytes for this tag; overrides the device's."""
    encoding: Encodings | None = None
    """STRING in a device: its encoding there; overrides the device's. In the image texts are UTF-8,
    where `ü` takes two bytes: give the tag more room than the device has."""


class Task(Section):
    """One task: a program, when it runs and which tags its variables are. Exactly one of
    `interval`, `event` and `freewheeling` says when."""

    program: str
    """`module:Class` in this file's folder or installed, or the name of a registered program."""
    interval: Duration | None = None
    """Cyclic task: time from one run to the next; a multiple of the base interval."""
    phase: DurationOrZero = 0
    """Shift of the first run, below the interval and a multiple of the base interval."""
    event: str | None = None
    """Event task: the BOOL tag that runs it. It runs in the cycle whose inputs show an edge of the
    tag against the last cycle that ran; what a task writes is seen in the next cycle."""
    edge: Literal["rising", "falling", "both"] | None = None
    """Which edge of the event's tag. Default: `rising`."""
    freewheeling: bool = False
    """`true`: runs after all others, once in a cycle, while its watchdog time still fits before
    the next tick; several take turns. It needs a `watchdog` below the base interval."""
    priority: int = Field(10, ge=0, le=99)
    """Order within a cycle, 0 the most urgent; equal priorities run in the order of this file."""
    overrun: Literal["skip", "late", "fault"] | None = None
    """Cyclic task: what becomes of runs that a late cycle covered. `skip`: they are counted and the
    task goes on in phase; `late`: the next cycle makes up for them once; `fault`: the cell goes to
    FAULT. Default: `skip`."""
    watchdog: TaskWatchdogField | None = None
    """Longest run: a duration, or time and sensitivity, and how many missed runs in a row fault the
    cell (`omitted`). Default: the base interval, one run, any number missed."""
    deadlines: dict[str, DeadlineField] = Field(default_factory=dict)
    """Other deadlines than those that the program declares for the jobs of its worker: kind of job
    to cycles, or to `{cycles, value}`."""
    bind: dict[str, str] = Field(default_factory=dict)
    """Program variable to tag. A variable that is not named here takes the tag `task.variable` or
    else `variable` if one is declared and fits, or gets an automatic memory tag `task.variable`,
    which other tasks may bind."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the program; listed under the program."""


class Alarm(Section):
    """One alarm, or one for each limit. Exactly one of `when` and `tag` says what is watched."""

    when: str | None = Field(None, min_length=1)
    """Condition on tags: `not air_ok`, `pressure > 8.0 and sys.state == 2`, `bad(pressure)`."""
    tag: str | None = None
    """Number whose limits are watched. One limit gives an alarm with the name of this entry,
    several give `name.high`, `name.low` and so on, each with a state of its own."""
    high_high: float | None = None
    """The alarm comes above this value."""
    high: float | None = None
    """The alarm comes above this value."""
    low: float | None = None
    """The alarm comes below this value."""
    low_low: float | None = None
    """The alarm comes below this value."""
    deadband: float | None = Field(None, ge=0)
    """Limits: how far inside the limit the value must be before the alarm goes; at most the
    distance from a high to a low limit. Default: 0."""
    text: str = Field(min_length=1, max_length=200)
    """What the operator reads: what is wrong and what to do."""
    severity: int = Field(500, ge=1, le=1000)
    """Urgency as OPC UA counts it (OPC 10000-9): 1 lowest, 1000 highest."""
    delay: DurationOrZero = 0
    """How long the condition must hold before the alarm comes."""
    off_delay: DurationOrZero = 0
    """How long the condition must not hold before the alarm goes."""
    group: AlarmName = "cell"
    """Group whose first alarm is marked: `alarms.<group>.first_out` holds its name."""
    acknowledge: bool = True
    """`false`: it needs no acknowledgement and vanishes when the condition does."""
    enabled: bool = True
    """`false`: it is switched off and says so in its state."""
    consequence: Literal["none", "stop", "fault"] = "none"
    """What it does to a cell in RUN when it comes: `stop` it or `fault` it, outputs become safe in
    the same cycle. While it stands the cell cannot be started. Such an alarm cannot be shelved."""


class Heartbeat(Section):
    """A sign of life: sent to a device or HMI, expected of it, or both."""

    send: str | None = None
    """Output or memory tag that the runtime changes: a BOOL is inverted, an integer counted. It
    changes in every operating state; an output reaches its device in RUN only."""
    period: Duration | None = None
    """Time between two changes of `send`, at least `scan.base` and the `poll` of its device.
    Default: 1s."""
    expect: str | None = None
    """Input or memory tag that the other side changes. A value without Good quality does not
    count."""
    timeout: Duration | None = None
    """Longest time between two changes of `expect`; needed with it. At least `scan.base` and the
    `poll` of its device."""
    on_loss: Literal["none", "alarm", "stop", "fault"] | None = None
    """What a loss does, with `expect`: raise the alarm `heartbeat.<name>`, and `stop` or `fault`
    the cell. `none`: only the tags show it. Default: `alarm`."""
    text: str = Field("", max_length=200)
    """Text of that alarm. Default: a sentence with the name."""
    severity: int = Field(700, ge=1, le=1000)
    """Severity of that alarm."""
    group: AlarmName = "cell"
    """Group of that alarm."""


class OpcUa(Section):
    """The OPC UA server. Without this section there is none."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] = "opc.tcp://0.0.0.0:4840"
    """Address and port to listen on."""
    anonymous: Literal["none", "read"] = "none"
    """What a client without a user may do: `none`, or `read`."""
    users: str | None = Field(None, min_length=1)
    """File with users and roles; relative to this file."""
    insecure: bool = False
    """Also offer connections without signature and encryption. For the test bench only."""
    clients: Literal["trusted", "any"] | None = None
    """Whose certificates are accepted: `trusted`, those that `cellwright trust list` shows as
    trusted; `any`, all that pass the other checks and were not rejected. Without it `trusted`, or
    `any` where `endpoint` cannot be reached from another machine."""
    suppress: list[Literal["validity", "usage", "revocation"]] = Field(default_factory=list)
    """Checks of client certificates that may fail: `validity`, its time and that of its issuers;
    `usage`, what its key may be used for; `revocation`, that no current list of its issuer is
    there."""

    @property
    def whose_clients(self) -> str:
        """``clients``, or what holds without it."""
        near = on_this_machine(urlsplit(self.endpoint).hostname or "")
        return self.clients or ("any" if near else "trusted")


class Mes(Section):
    """The MES. Without this section parts are not recorded in a database."""

    database: Annotated[str, AfterValidator(_database)]
    """SQLAlchemy URL; the file of a relative SQLite URL lies in the data folder."""
    master_data: str | None = Field(None, min_length=1)
    """File with part definitions and work orders to load at the start; relative to this file."""


class Metrics(Section):
    """Figures for Prometheus, over HTTP at `/metrics`. Without this section they are not served."""

    listen: Listen = "127.0.0.1:9464"
    """Address and port to listen on. Whoever reaches it can read: keep it on the machine, or on
    the network of the monitoring."""


_PLANT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _plant(text: str) -> str:
    if _PLANT.fullmatch(text) is None:
        raise problem(
            f"'{text[:60]}' names no plant model",
            "it is a class in a module that lies in the folder of this file",
            "write module:Class, like plant.model:BladePlant",
        )
    return text


class Simulation(Section):
    """The plant model with which `cellwright simulate` runs the cell. A real cell ignores it."""

    plant: Annotated[str, AfterValidator(_plant)]
    """Class of the plant model, `module:Class`; the module lies in the folder of this file."""
    options: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    """Options of that class, checked when the simulation starts."""


class CellFile(Section):
    """The whole file."""

    cell: Cell
    scan: Scan
    devices: dict[str, Device] = Field(default_factory=dict)
    tags: dict[str, Tag] = Field(default_factory=dict)
    tasks: dict[str, Task] = Field(default_factory=dict)
    alarms: dict[str, Alarm] = Field(default_factory=dict)
    heartbeats: dict[str, Heartbeat] = Field(default_factory=dict)
    recorder: Recorder = Recorder()
    history: History = History()
    opcua: OpcUa | None = None
    mes: Mes | None = None
    metrics: Metrics | None = None
    web: Web | None = None
    simulation: Simulation | None = None
