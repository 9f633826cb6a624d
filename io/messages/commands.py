"""Commands to the scan, and the codes of its answers."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from cellwright.io.messages.base import Command
from cellwright.io.messages.serials import TaskMessage
from cellwright.io.plan import Value

MOST_WRITES: Final = 256
"""Tags that one command may write: what it costs the cycle stays bounded."""


class WriteTag(Command, frozen=True, kw_only=True, tag="write_tag"):
    """Set a memory tag (or an output that no task writes) once."""

    tag: str
    value: Value


class TagValue(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A tag and what is written into it."""

    tag: str
    value: Value


class WriteTags(Command, frozen=True, kw_only=True, tag="write_tags"):
    """Set several tags in one cycle, in this order, each as by `WriteTag`; at most `MOST_WRITES`.

    The first one that is refused ends it: those before it are written, and the answer's text begins
    with their number.
    """

    writes: tuple[TagValue, ...]


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
    """Shelve an alarm for a limited time. It needs a ``reason``, and ends with the scan process."""

    alarm: str
    duration_s: float
    """Above 0, at most a day."""
    once: bool = False
    """End the shelf already when the condition goes, or at once where it does not hold."""


class UnshelveAlarm(Command, frozen=True, kw_only=True, tag="unshelve_alarm"):
    """Unshelve an alarm before its time is up."""

    alarm: str


class DisableAlarm(Command, frozen=True, kw_only=True, tag="disable_alarm"):
    """Take an alarm out of service until it is enabled again; it ends with the scan process.

    One with a consequence stays in service.
    """

    alarm: str


class EnableAlarm(Command, frozen=True, kw_only=True, tag="enable_alarm"):
    """Put an alarm that `DisableAlarm` took out of service back into it."""

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
    files: list[str] = msgspec.field(default_factory=list)
    """Changed files; of very many only the first."""
    rolled_back: bool = False
    """The programs are those before the last change."""


class ProgramsLoaded(Command, frozen=True, kw_only=True, tag="programs_loaded"):
    """The scan process reports to the scan what became of a change; nobody else sends it."""

    error: str = ""
    """Why the programs are those before; empty: they are the changed ones."""


class UntoldChange(Command, frozen=True, kw_only=True, tag="untold_change"):
    """A scan process reports to its scan, before the first cycle, a change without an event.

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


AnyCommand = (
    WriteTag
    | WriteTags
    | ForceTag
    | UnforceTag
    | SetMode
    | Deliver
    | ResetStatistics
    | AcknowledgeAlarm
    | ShelveAlarm
    | UnshelveAlarm
    | DisableAlarm
    | EnableAlarm
    | ChangeProgram
    | ProgramsLoaded
    | UntoldChange
)
