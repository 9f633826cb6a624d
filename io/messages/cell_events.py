"""Events of the cell itself: modes, writes, forces, faults, alarms."""

from __future__ import annotations

from cellwright.io.messages.base import Event
from cellwright.io.plan import Value


class ModeChanged(Event, frozen=True, kw_only=True, tag="mode_changed"):
    """The cell went from one operating state to another."""

    old: str
    new: str
    actor: str
    reason: str
    request: str = ""
    """What was asked for, a warm start or a cold one."""


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
    """Counters and histograms of one task were reset; ``of`` empty means all and the scan's."""

    of: str
    actor: str
    reason: str


class ProgramChanged(Event, frozen=True, kw_only=True, tag="program_changed"):
    """The cell runs other programs from this cycle on."""

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
    shelved_s: float = 0.0
    """For how long at most it was shelved."""
    once: bool = False
    """The shelf ends when the condition goes."""


class AlarmCommented(Event, frozen=True, kw_only=True, tag="alarm_commented"):
    """An operator wrote a note to an alarm, which keeps its state."""

    alarm: str
    text: str
    actor: str


class CommandRefused(Event, frozen=True, kw_only=True, tag="command_refused"):
    """A command was understood and not obeyed."""

    command: str
    actor: str
    why: str


class UsersChanged(Event, frozen=True, kw_only=True, tag="users_changed"):
    """The gateway works with other users from now on. Never with their passwords or hashes."""

    source: str
    """Where they come from: the users file."""
    added: list[str]
    removed: list[str]
    roles: list[str]
    """Users who have other roles now, each with them: ``anna: Operator, Planner``."""
    passwords: list[str]
    """Users whose password was changed."""
    reason: str = ""
    """What of it is not listed: of very many users only the first are."""


class AccessAudited(Event, frozen=True, kw_only=True, tag="access_audited"):
    """A client of the OPC UA server was refused, or a user logged in."""

    step: str
    """``channel``, ``certificate``, ``session`` or ``login``."""
    status: str
    """``Good``, or the status code with which it was refused, like ``BadCertificateUntrusted``."""
    address: str
    """The client's IP address; empty when there were too many to tell apart."""
    user: str = ""
    """The name that was claimed; only after ``Good`` is it who it was."""
    subject: str = ""
    """Name of the certificate that was shown, or of the client."""
    times: int = 1
    """How often within a minute; the first of equal ones is told at once, the others together."""
    actor: str = ""
    reason: str = ""
