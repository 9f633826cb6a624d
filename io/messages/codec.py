"""The typed messages that travel through the rings and the journal, as msgpack.

Commands go to the scan, events come from it (and from workers) and are durable, jobs and results
go between a program and its worker. A message that does not decode to one of these types is
refused where it is read. Adding an optional field is compatible; anything else is a new type.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cellwright.io.messages.base import Message
from cellwright.io.messages.cell_events import (
    AccessAudited,
    AlarmChanged,
    AlarmCommented,
    CommandRefused,
    FaultRaised,
    ForceChanged,
    ModeChanged,
    ProgramChanged,
    StatisticsReset,
    TagWritten,
    UsersChanged,
)
from cellwright.io.messages.commands import AnyCommand
from cellwright.io.messages.jobs import Job, Result
from cellwright.io.messages.part_events import (
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    PartArrived,
    PartDeparted,
    PartReleased,
    SerialAssigned,
    SerialRequested,
)

# --- Commands: anyone to the scan, applied at the start of a cycle --------------------------------


# --- Messages to a task's inbox -------------------------------------------------------------------


# --- Events: durable, in order per producer -------------------------------------------------------


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
    | AlarmCommented
    | CommandRefused
    | UsersChanged
    | AccessAudited
)


# --- Jobs and results: a program in the scan and its worker process -------------------------------


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
