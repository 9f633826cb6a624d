"""The typed messages that travel through the rings and the journal, as msgpack.

Commands go to the scan, events come from it (and from workers) and are durable, jobs and results
go between a program and its worker. A message that does not decode to one of these types is
refused where it is read. Adding an optional field is compatible; anything else is a new type.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec

from cellwright.io.plan import Value


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Common base; ``type`` in the encoded map tells the subclasses apart."""


# --- Commands: anyone to the scan, applied at the start of a cycle --------------------------------


class Command(Message, frozen=True, kw_only=True):
    """A request to the scan. ``actor`` and ``reason`` land in the audit."""

    actor: str
    """Who asks: user name, or the process name for the runtime's own commands."""
    reason: str = ""
    remote: bool = False
    """It came over the network; the keyswitch may forbid it."""


class WriteTag(Command, frozen=True, kw_only=True, tag="write_tag"):
    """Set a memory tag (or an output that no task writes) once."""

    tag: str
    value: Value


class ForceTag(Command, frozen=True, kw_only=True, tag="force_tag"):
    """Hold a tag at a value until it is released, whatever device or program say."""

    tag: str
    value: Value


class UnforceTag(Command, frozen=True, kw_only=True, tag="unforce_tag"):
    """Release one force, or all of them when ``tag`` is empty."""

    tag: str = ""


class SetMode(Command, frozen=True, kw_only=True, tag="set_mode"):
    """Somebody's request for a state: ``start`` (warm), ``cold_start``, ``hot_start``, ``pause``,
    ``stop`` or ``reset``."""

    request: str


class Deliver(Command, frozen=True, kw_only=True, tag="deliver"):
    """Hand ``body`` to a task's inbox; how the MES answers a program."""

    task: str
    body: TaskMessage


class ResetStatistics(Command, frozen=True, kw_only=True, tag="reset_statistics"):
    """Zero the counters and histograms of one task, or of all when ``task`` is empty."""

    task: str = ""


class AcknowledgeAlarm(Command, frozen=True, kw_only=True, tag="acknowledge_alarm"):
    """Somebody has seen the alarm; ``alarm`` empty means all that wait for it."""

    alarm: str = ""


class ShelveAlarm(Command, frozen=True, kw_only=True, tag="shelve_alarm"):
    """Put an alarm away for a time. It needs a ``reason``, and ends with the scan process."""

    alarm: str
    duration_s: float
    """Above 0, at most a day."""


class UnshelveAlarm(Command, frozen=True, kw_only=True, tag="unshelve_alarm"):
    """Bring a shelved alarm back before its time."""

    alarm: str


class ChangeProgram(Command, frozen=True, kw_only=True, tag="change_program"):
    """Go on with other programs, which lie in the run folder; answered when they run.

    Only a process on this computer can leave them there: ``cellwright change``.
    """

    sha256: str
    """Of the file, which is named after it."""
    old: str
    """SHA-256 over all program files that are to run now."""
    new: str
    """And over those to come."""
    tasks: list[str]
    files: list[str] = []
    """Changed files; of very many only the first."""
    rolled_back: bool = False
    """The programs are those before the last change."""


class ProgramsLoaded(Command, frozen=True, kw_only=True, tag="programs_loaded"):
    """The scan process tells the scan what became of a change; nobody else sends it."""

    error: str = ""
    """Why the programs are those before; empty: they are the changed ones."""


class UntoldChange(Command, frozen=True, kw_only=True, tag="untold_change"):
    """A scan process tells its scan, before the first cycle, of a change that no event told of.

    Its predecessor made the change permanent and died before the cycle after; nobody else sends it.
    """

    change: ChangeProgram


class ReplyCode(IntEnum):
    """The scan's answer to a command; the text beside it is for people."""

    OK = 0
    MALFORMED = 1
    UNKNOWN_TAG = 2
    NOT_WRITABLE = 3
    TYPE_MISMATCH = 4
    OUT_OF_RANGE = 5
    INVALID_STATE = 6
    UNKNOWN_TASK = 7
    UNKNOWN_REQUEST = 8
    UNKNOWN_ALARM = 9


# --- Messages to a task's inbox -------------------------------------------------------------------


class SerialGranted(Message, frozen=True, kw_only=True, tag="serial_granted"):
    """The MES's answer to `SerialRequested`: what to mark on this part."""

    part_id: str
    serial: str
    order: str
    """Work order number, WO-YYYY-NNNNNN."""
    part_number: str
    revision: str = ""
    fields: dict[str, str] = {}
    """Further content for the template (cage code, heat lot, ...)."""


class SerialRefused(Message, frozen=True, kw_only=True, tag="serial_refused"):
    """No serial for this part now: no running order, order complete, order held."""

    part_id: str
    reason: str


TaskMessage = SerialGranted | SerialRefused


# --- Events: durable, in order per producer -------------------------------------------------------


class Event(Message, frozen=True, kw_only=True):
    """Something that happened. Durable in the journal before anyone acts on it.

    ``utc_ns`` is wall-clock time for people; ``cycle`` is the scan's cycle number (0 from workers).
    """

    task: str
    utc_ns: int
    cycle: int = 0


class PartArrived(Event, frozen=True, kw_only=True, tag="part_arrived"):
    """A part entered the cell. ``part_id`` is unique for ever: boot id and a number that no start
    sets back, such as the cycle."""

    part_id: str


class SerialRequested(Event, frozen=True, kw_only=True, tag="serial_requested"):
    """A station asks the MES for the next serial. Repeats carry the same ``part_id``."""

    part_id: str
    station: str


class SerialAssigned(Event, frozen=True, kw_only=True, tag="serial_assigned"):
    """The station has taken the granted serial for the part; nothing is on metal yet."""

    part_id: str
    station: str
    serial: str
    order: str
    part_number: str
    revision: str = ""
    fields: dict[str, str] = {}


class MarkAuthorised(Event, frozen=True, kw_only=True, tag="mark_authorised"):
    """From here on metal may be marked: the serial is spent and is never marked again."""

    part_id: str
    station: str
    serial: str
    content: str
    """What the symbol is to hold."""
    device: str
    template: str


class MarkCompleted(Event, frozen=True, kw_only=True, tag="mark_completed"):
    """The marker's answer. ``outcome`` is ``acknowledged``, ``unknown`` or ``failed``."""

    part_id: str
    station: str
    serial: str
    outcome: str
    detail: str = ""
    duration_ms: float = 0.0


class InspectionCompleted(Event, frozen=True, kw_only=True, tag="inspection_completed"):
    """What the camera read, compared with what was ordered."""

    part_id: str
    station: str
    serial: str
    expected: str
    read: str
    """Decoded content; empty when nothing was read."""
    verdict: str
    """``ok``, ``not_ok`` or ``not_decidable``."""
    reason: str = ""
    unused_error_correction: float | None = None
    """UEC, 0 to 1 (ISO/IEC 15415); None when nothing was read."""
    module_errors: int | None = None
    duration_ms: float = 0.0
    frame: int = 0


class PartReleased(Event, frozen=True, kw_only=True, tag="part_released"):
    """The control program's decision; durable before the clamp opens. ``verdict`` good/rejected.

    ``serial`` is empty when the part left without one (for example a stuck clamp).
    """

    part_id: str
    serial: str
    verdict: str
    reason: str = ""
    recovered: bool = False
    """The part was in the cell when the scan restarted."""


class PartDeparted(Event, frozen=True, kw_only=True, tag="part_departed"):
    """The part has left the cell for good; what is known of it is complete.

    Durable before the next part is let in, so that a restart never takes a finished part that
    still lies in the clamp for a new one.
    """

    part_id: str


class ModeChanged(Event, frozen=True, kw_only=True, tag="mode_changed"):
    """The cell went from one operating state to another."""

    old: str
    new: str
    actor: str
    reason: str
    request: str = ""
    """What was asked for, which tells a warm start from a cold one."""


class TagWritten(Event, frozen=True, kw_only=True, tag="tag_written"):
    """A command wrote a tag."""

    tag: str
    old: Value
    new: Value
    actor: str
    reason: str


class ForceChanged(Event, frozen=True, kw_only=True, tag="force_changed"):
    """A force was set (``value``) or released (``value`` None); ``tag`` empty means all."""

    tag: str
    value: Value | None
    actor: str
    reason: str


class StatisticsReset(Event, frozen=True, kw_only=True, tag="statistics_reset"):
    """Counters and histograms of one task began anew; ``of`` empty means all and the scan's."""

    of: str
    actor: str
    reason: str


class ProgramChanged(Event, frozen=True, kw_only=True, tag="program_changed"):
    """The cell goes on with other programs from this cycle on."""

    tasks: list[str]
    """Tasks whose programs were loaded anew."""
    old: str
    """SHA-256 over all program files of the cell before."""
    new: str
    """And now."""
    files: list[str]
    """Changed files; of very many only the first."""
    actor: str
    reason: str
    rolled_back: bool = False
    change: str = ""
    """SHA-256 of the change itself, which no other has."""
    after_restart: bool = False
    """Told by a later scan process: the one that made the change died before it could."""


class FaultRaised(Event, frozen=True, kw_only=True, tag="fault_raised"):
    """The cell went to FAULT. ``code`` is stable for machines, ``text`` for people."""

    code: str
    text: str
    culprit: str = ""
    """Task or device at fault, when it is one."""


class AlarmChanged(Event, frozen=True, kw_only=True, tag="alarm_changed"):
    """An alarm went from one state to another."""

    alarm: str
    old: str
    new: str
    """State as in `cellwright.io.image.alarm_view.AlarmState`."""
    severity: int
    """1 to 1000."""
    text: str
    group: str
    value: Value | None = None
    """Of the tag that it watches, when it watches one."""
    first_out: bool = False
    """It is the first of its group."""
    actor: str = ""
    """Who acknowledged or shelved it; empty when the condition changed."""
    reason: str = ""


class CommandRefused(Event, frozen=True, kw_only=True, tag="command_refused"):
    """A command was understood and not obeyed."""

    command: str
    actor: str
    why: str


AnyCommand = (
    WriteTag
    | ForceTag
    | UnforceTag
    | SetMode
    | Deliver
    | ResetStatistics
    | AcknowledgeAlarm
    | ShelveAlarm
    | UnshelveAlarm
    | ChangeProgram
    | ProgramsLoaded
    | UntoldChange
)
AnyEvent = (
    PartArrived
    | SerialRequested
    | SerialAssigned
    | MarkAuthorised
    | MarkCompleted
    | InspectionCompleted
    | PartReleased
    | PartDeparted
    | ModeChanged
    | TagWritten
    | ForceChanged
    | StatisticsReset
    | ProgramChanged
    | FaultRaised
    | AlarmChanged
    | CommandRefused
)


# --- Jobs and results: a program in the scan and its worker process -------------------------------


class Job(Message, frozen=True, kw_only=True):
    """What a program hands its worker. ``number`` comes back in the result.

    A worker does a job only while both parties are those that agreed on it: ``epoch`` names the
    scan process that asked (its start time), ``incarnation`` the worker process that it asked (how
    often the worker had been restarted). Any other job is dropped unread, so that nothing is
    marked on behalf of a scan that no longer exists.
    """

    number: int
    epoch: int
    incarnation: int
    kind: str
    body: dict[str, Any] = {}


class Result(Message, frozen=True, kw_only=True):
    """What came of a job. ``error`` is empty on success and a sentence for people otherwise.

    With ``timed_out`` the deadline passed without an answer, and ``body`` is the value that the
    program declares for that; only the scan itself makes such a result.
    """

    number: int
    epoch: int
    kind: str
    body: dict[str, Any] = {}
    error: str = ""
    duration_ms: float = 0.0
    timed_out: bool = False


_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[AnyCommand] = msgspec.msgpack.Decoder(AnyCommand)
_events: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_jobs = msgspec.msgpack.Decoder(Job)
_results = msgspec.msgpack.Decoder(Result)


class MessageError(ValueError):
    """Bytes that are not one of this module's messages."""


def encode(message: Message) -> bytes:
    """The message as msgpack."""
    return _encoder.encode(message)


def _decode(decoder: msgspec.msgpack.Decoder[Any], kind: str, data: bytes | memoryview) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"{len(data)} bytes are not a {kind}: {error}") from error


def decode_command(data: bytes | memoryview) -> AnyCommand:
    """Decode a command; raises MessageError."""
    command: AnyCommand = _decode(_commands, "command", data)
    return command


def decode_event(data: bytes | memoryview) -> AnyEvent:
    """Decode an event; raises MessageError."""
    event: AnyEvent = _decode(_events, "event", data)
    return event


def decode_job(data: bytes | memoryview) -> Job:
    """Decode a job; raises MessageError."""
    job: Job = _decode(_jobs, "job", data)
    return job


def decode_result(data: bytes | memoryview) -> Result:
    """Decode a result; raises MessageError."""
    result: Result = _decode(_results, "result", data)
    return result
