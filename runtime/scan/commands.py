"""What the scan does with a command: check it, obey it, leave an event for the audit.

Called by the scan at the start of a cycle. A command that cannot be obeyed is refused with a
code for machines and a sentence for people; nothing is obeyed by half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatchmethod
from typing import ClassVar, Final

from cellwright.io.image import Statistics
from cellwright.io.messages import (
    MOST_WRITES,
    OWN_TASK,
    AcknowledgeAlarm,
    AnyCommand,
    AnyEvent,
    ChangeProgram,
    CommandRefused,
    Deliver,
    DisableAlarm,
    EnableAlarm,
    ForceChanged,
    ForceTag,
    MessageError,
    ProgramsLoaded,
    ReplyCode,
    ResetStatistics,
    SetMode,
    ShelveAlarm,
    StatisticsReset,
    TagWritten,
    TaskMessage,
    UnforceTag,
    UnshelveAlarm,
    UntoldChange,
    WriteTag,
    WriteTags,
    decode_command,
)
from cellwright.io.plan import Direction, Plan, Tag, Value, clip
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.scan.alarms.engine import AlarmEngine
from cellwright.runtime.scan.cycle_state import CarriesState
from cellwright.runtime.scan.modes.states import BY_RUNTIME, Request
from cellwright.runtime.scan.program_change import ProgramChange
from cellwright.runtime.scan.refusals import RefusedError

INBOX_LIMIT: Final = 64
"""Messages that may wait for a task; more means that it does not read them."""
REASON_BYTES: Final = 1000
"""Longest reason of a refusal, or of a fault, in an event."""
ACTOR_BYTES: Final = 200
"""Longest name in the event of a refusal."""
WORDS_BYTES: Final = 65_536
"""Longest command that carries no value: all that it says has room in an event."""


OPERATOR_REQUESTS: Final = tuple(request for request in Request if request not in BY_RUNTIME)
"""What a command may ask for; the other requests are the runtime's own."""


class CommandHandler(CarriesState):
    """Applies commands to the process image and the state machine."""

    CARRIED: ClassVar = ("inboxes",)

    def __init__(
        self,
        plan: Plan,
        process_image: ProcessImage,
        statistics: Statistics,
        ask_mode: Callable[[Request, str, str, bool], None],
        emit: Callable[[AnyEvent], int],
        *,
        alarms: AlarmEngine,
        changes: ProgramChange,
    ) -> None:
        self._alarms = alarms
        self._changes = changes
        self._tags: Mapping[str, Tag] = {tag.name: tag for tag in plan.tags}
        self._tasks: Mapping[str, int] = {task.name: task.index for task in plan.tasks}
        self._image = process_image
        self._statistics = statistics
        self._ask_mode = ask_mode
        self._emit = emit
        self.inboxes: list[list[TaskMessage]] = [[] for _ in plan.tasks]
        """Unread messages of each task."""
        self._utc_ns = 0
        self._cycle = 0

    def obey(self, data: bytes, utc_ns: int, cycle: int) -> tuple[ReplyCode, str] | None:
        """Do what a command says, or answer why not; None: the answer comes later."""
        self._utc_ns = utc_ns
        self._cycle = cycle
        try:
            command = decode_command(data)
        except (MessageError, RecursionError) as error:
            return ReplyCode.MALFORMED, str(error)
        try:
            _has_room(command, len(data))
            self._apply(command)
        except RefusedError as error:
            self._emit(
                CommandRefused(
                    task=OWN_TASK,
                    utc_ns=utc_ns,
                    cycle=cycle,
                    command=type(command).__name__,
                    actor=clip(command.actor, ACTOR_BYTES),
                    why=clip(str(error), REASON_BYTES),
                )
            )
            return error.code, str(error)
        return None if self._changes.pending is command else (ReplyCode.OK, "")

    def take_inbox(self, task: int) -> tuple[TaskMessage, ...]:
        """Messages for a task since its last execution."""
        inbox = self.inboxes[task]
        if not inbox:
            return ()
        messages = tuple(inbox)
        inbox.clear()
        return messages

    @singledispatchmethod
    def _apply(self, command: AnyCommand) -> None:
        raise RefusedError(ReplyCode.MALFORMED, f"{type(command).__name__} is not for the scan")

    @_apply.register
    def _write(self, command: WriteTag) -> None:
        tag = self._tag(command.tag)
        if tag.direction is Direction.SYSTEM:
            raise RefusedError(
                ReplyCode.NOT_WRITABLE,
                f"'{tag.name}' is a system tag of the runtime and cannot be written",
            )
        if tag.direction is Direction.INPUT or tag.writer is not None:
            owner = f"task '{tag.writer}'" if tag.writer else "its device"
            raise RefusedError(
                ReplyCode.NOT_WRITABLE,
                f"tag '{tag.name}' is written by {owner}; force it if you must",
            )
        value = _typed(tag, command.value)
        _in_range(tag, value)
        self._record(
            TagWritten(
                task=OWN_TASK,
                utc_ns=self._utc_ns,
                cycle=self._cycle,
                tag=tag.name,
                old=self._image.get(tag.index),
                new=value,
                actor=command.actor,
                reason=command.reason,
            )
        )
        self._image.set(tag.index, value)

    @_apply.register
    def _write_all(self, command: WriteTags) -> None:
        if len(command.writes) > MOST_WRITES:
            raise RefusedError(
                ReplyCode.OUT_OF_RANGE,
                f"0 written; {len(command.writes)} tags in one command are more than {MOST_WRITES}",
            )
        for number, write in enumerate(command.writes):
            try:
                self._write(
                    WriteTag(
                        tag=write.tag,
                        value=write.value,
                        actor=command.actor,
                        reason=command.reason,
                    )
                )
            except RefusedError as error:
                raise RefusedError(error.code, f"{number} written; {error}") from error

    @_apply.register
    def _force(self, command: ForceTag) -> None:
        tag = self._tag(command.tag)
        if tag.direction is Direction.SYSTEM:
            raise RefusedError(
                ReplyCode.NOT_WRITABLE,
                f"'{tag.name}' is a system tag of the runtime and cannot be forced",
            )
        value = _typed(tag, command.value)
        self._force_changed(tag.name, value, command.actor, command.reason)
        self._image.force(tag.index, value)

    @_apply.register
    def _unforce(self, command: UnforceTag) -> None:
        index = self._tag(command.tag).index if command.tag else None
        self._image.unforce(index)
        self._force_changed(command.tag, None, command.actor, command.reason)

    def _force_changed(self, tag: str, value: Value | None, actor: str, reason: str) -> None:
        self._record(
            ForceChanged(
                task=OWN_TASK,
                utc_ns=self._utc_ns,
                cycle=self._cycle,
                tag=tag,
                value=value,
                actor=actor,
                reason=reason,
            )
        )

    def _record(self, event: AnyEvent) -> None:
        """What cannot be audited is not done."""
        try:
            self._emit(event)
        except ValueError as error:
            raise RefusedError(ReplyCode.OUT_OF_RANGE, str(error)) from error

    @_apply.register
    def _mode(self, command: SetMode) -> None:
        try:
            request = Request(command.request)
        except ValueError:
            request = None
        if request not in OPERATOR_REQUESTS:
            raise RefusedError(
                ReplyCode.UNKNOWN_REQUEST,
                f"'{command.request}' is not a request; use {', '.join(OPERATOR_REQUESTS)}",
            )
        self._ask_mode(request, command.actor, command.reason, command.remote)

    @_apply.register
    def _deliver(self, command: Deliver) -> None:
        index = self._task(command.task)
        inbox = self.inboxes[index]
        if len(inbox) >= INBOX_LIMIT:
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"task '{command.task}' has {len(inbox)} unread messages; is it running?",
            )
        inbox.append(command.body)

    @_apply.register
    def _acknowledge_alarm(self, command: AcknowledgeAlarm) -> None:
        self._alarms.acknowledge(command.alarm, command.actor, command.reason)

    @_apply.register
    def _shelve_alarm(self, command: ShelveAlarm) -> None:
        self._alarms.shelve(command)

    @_apply.register
    def _unshelve_alarm(self, command: UnshelveAlarm) -> None:
        self._alarms.unshelve(command.alarm, command.actor, command.reason)

    @_apply.register
    def _disable_alarm(self, command: DisableAlarm) -> None:
        self._alarms.disable(command.alarm, command.actor, command.reason)

    @_apply.register
    def _enable_alarm(self, command: EnableAlarm) -> None:
        self._alarms.enable(command.alarm, command.actor, command.reason)

    @_apply.register
    def _reset_statistics(self, command: ResetStatistics) -> None:
        index = self._task(command.task) if command.task else None
        self._record(
            StatisticsReset(
                task=OWN_TASK,
                utc_ns=self._utc_ns,
                cycle=self._cycle,
                of=command.task,
                actor=command.actor,
                reason=command.reason,
            )
        )
        self._statistics.reset(index)

    @_apply.register
    def _change_program(self, command: ChangeProgram) -> None:
        self._changes.begin(command)

    @_apply.register
    def _programs_loaded(self, command: ProgramsLoaded) -> None:
        self._changes.finish(command, self._utc_ns, self._cycle)

    @_apply.register
    def _pending_change(self, command: UntoldChange) -> None:
        self._changes.emit_pending(command, self._utc_ns, self._cycle)

    def _tag(self, name: str) -> Tag:
        tag = self._tags.get(name)
        if tag is None:
            raise RefusedError(ReplyCode.UNKNOWN_TAG, f"there is no tag '{name}'")
        return tag

    def _task(self, name: str) -> int:
        index = self._tasks.get(name)
        if index is None:
            raise RefusedError(
                ReplyCode.UNKNOWN_TASK,
                f"there is no task '{name}'; tasks: {', '.join(self._tasks)}",
            )
        return index


def _has_room(command: AnyCommand, size: int) -> None:
    if size > WORDS_BYTES and not isinstance(command, WriteTag | WriteTags | ForceTag | Deliver):
        raise RefusedError(
            ReplyCode.OUT_OF_RANGE,
            f"a {type(command).__name__} of {size} bytes is longer than the "
            f"{WORDS_BYTES} that have room in the journal; shorten its texts",
        )


def _typed(tag: Tag, value: object) -> Value:
    try:
        return tag.type.check(value)
    except ValueError as error:
        raise RefusedError(ReplyCode.TYPE_MISMATCH, f"tag '{tag.name}': {error}") from error


def _in_range(tag: Tag, value: Value) -> None:
    if tag.range is None:
        return
    low, high = tag.range
    unit = f" {tag.unit}" if tag.unit else ""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, int | float) and not low <= item <= high:
            raise RefusedError(
                ReplyCode.OUT_OF_RANGE,
                f"tag '{tag.name}' takes {low:g} to {high:g}{unit}, not {item:g}",
            )
