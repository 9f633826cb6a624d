"""The scan's alarms: judges conditions, steps the state table, keeps first-out and counts.

The scan calls `AlarmEngine.cycle` after the tasks; the command handler calls the rest. A condition
is asked only when one of its tags has changed. Nothing here waits, and what it decides follows from
the image, scan time and the commands alone, so that a recording replays.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final

from cellwright.io.image import (
    ACTIVE,
    ANNUNCIATED,
    CELL_FIRST_OUT,
    UNACKNOWLEDGED,
    AlarmState,
    alarm_state,
)
from cellwright.io.messages import OWN_TASK, AlarmChanged, ReplyCode, ShelveAlarm
from cellwright.io.plan import AlarmRule, Consequence, Plan, Value, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.scan.alarms.conditions import beyond, condition
from cellwright.runtime.scan.alarms.states import Signal, moves
from cellwright.runtime.scan.cycle_state import CarriesState, CycleTime
from cellwright.runtime.scan.outbox import EventSender
from cellwright.runtime.scan.refusals import RefusedError

LONGEST_SHELF_S: Final = 86_400.0
"""A day; what is to be out of sight for longer is switched off in the configuration."""

EVENTS_PER_CYCLE: Final = 32
"""Alarm events that a cycle emits; those of a flood follow in the next ones."""
BACKLOG_CYCLES: Final = 16
"""Cycles in which a backlog is told that grows faster than that, so that it stays bounded."""

_NAMES: Final = {state: state.name for state in AlarmState}
_BAD: Final = 1 << 31
"""Status codes from here on are Bad."""

Judge = Callable[[bool], bool]
"""Takes the present level of a condition and gives the new one."""


class AlarmEngine(CarriesState):
    """All alarms of a cell. ``obey`` is called with an alarm that has a consequence and comes."""

    CARRIED: ClassVar = (
        "_states",
        "_levels",
        "_held",
        "_since",
        "_until",
        "_once",
        "_first",
        "_begun",
        "_untold",
    )

    def __init__(
        self,
        plan: Plan,
        image: ProcessImage,
        moment: CycleTime,
        outbox: EventSender,
        obey: Callable[[AlarmRule], None],
    ) -> None:
        rules = plan.alarms
        self._rules, self._groups = rules, plan.alarm_groups
        self._image, self._moment, self._obey = image, moment, obey
        self._emit, self._check = outbox.emit, outbox.check
        self._untold: deque[AlarmChanged] = deque()
        """What happened and was not emitted yet, oldest first."""
        self._emitted_in = self._emitted = 0
        self._by_name = {rule.name: rule.index for rule in rules}
        self._quality = image.qualities
        self._reads = [rule.reads for rule in rules]
        self._judges = [_judge(rule, image) for rule in rules]
        self._moves = [
            moves(
                acknowledge=rule.acknowledge, consequence=rule.consequence is not Consequence.NONE
            )
            for rule in rules
        ]
        self._watch = image.watch(tag for rule in rules for tag in rule.watches)
        self._of_tag: list[list[int]] = [[] for _ in plan.tags]
        for rule in rules:
            for tag in rule.watches:
                self._of_tag[tag].append(rule.index)
        system = {tag.name: tag.index for tag in plan.tags if tag.name.startswith("sys.alarm")}
        self._counts = (
            system["sys.alarms_active"],
            system["sys.alarms_unacknowledged"],
            system["sys.alarms_shelved"],
        )
        self._first_tags = [
            *(group.first_out for group in plan.alarm_groups),
            system[CELL_FIRST_OUT],
        ]
        # What a predecessor left in the retained tags goes on.
        self._states = [alarm_state(int(image.get(rule.state))) for rule in rules]  # type: ignore[arg-type]
        self._first = [str(image.get(tag)) for tag in self._first_tags]
        self._levels = [state in ACTIVE for state in self._states]
        self._held = [0] * len(rules)
        self._since: dict[int, int] = {}
        self._until: dict[int, int] = {}
        self._once: list[int] = []
        """Shelved alarms whose shelf ends when their condition goes."""
        self._shown = self._count_shown()
        self._begun = False
        self._dirty = True

    # --- the cycle ----------------------------------------------------------------------------

    def cycle(self) -> None:
        """Judge what has changed and what waits for a delay, in the order of the configuration.

        Delays count monotonic time, also in PAUSE: alarms go on while the tasks stand still.
        """
        if self._untold:
            self._emit_more()
        if not self._begun:
            self._begin()
        if self._rules:
            of_tag = self._of_tag
            todo = set[int]().union(*[of_tag[tag] for tag in self._watch.changed()])
            if todo or self._since:
                self._look(todo)
            if self._until:
                self._end_shelves()
        if self._dirty:
            self._publish()

    def _begin(self) -> None:
        """The first cycle of a scan process: what the configuration or the restart changes."""
        self._begun = True
        for rule in self._rules:
            state = self._states[rule.index]
            if not rule.enabled:
                self._signal(rule.index, Signal.SUPPRESS, reason="switched off by configuration")
            elif state is AlarmState.SUPPRESSED:
                self._signal(rule.index, Signal.RESTORE, reason="switched on by configuration")
            elif state is AlarmState.SHELVED:
                self._signal(rule.index, Signal.UNSHELVE, "scan", "a shelf ends with the scan")
            self._show(rule.index)

    def _look(self, todo: set[int]) -> None:
        """Take the levels of these conditions anew; a value that is needed and Bad keeps one."""
        # One loop without calls but for the conditions: in a burst it is what costs.
        status, reads, judges = self._quality, self._reads, self._judges
        levels, held, since = self._levels, self._held, self._since
        for alarm in sorted(todo.union(since) if since else todo):
            if alarm in todo:
                for tag in reads[alarm]:
                    if status[tag] >= _BAD:
                        self._hold(alarm, status[tag])
                        break
                else:
                    before, was_held = levels[alarm], held[alarm]
                    level = judges[alarm](before)
                    if was_held:
                        self._hold(alarm, 0)
                    if was_held or level != before:
                        levels[alarm] = level
                        self._follow(alarm)
                        continue
            if alarm in since:
                self._follow(alarm)

    def _hold(self, alarm: int, status: int) -> None:
        """The alarm is not judged while ``status`` is not 0; the quality of its tag tells that."""
        self._held[alarm] = status
        self._image.set_quality(self._rules[alarm].active, status or quality.GOOD)
        # A delay that was running begins again when the value is back.
        self._since.pop(alarm, None)

    def _follow(self, alarm: int) -> None:
        """Bring the state after the level, when the delay is over."""
        state, level = self._states[alarm], self._levels[alarm]
        if (
            state is AlarmState.SHELVED
            or state is AlarmState.SUPPRESSED
            or self._held[alarm]
            or level == (state in ACTIVE)
        ):
            self._since.pop(alarm, None)
            return
        rule = self._rules[alarm]
        since = self._since.setdefault(alarm, self._moment.now_ns)
        if self._moment.now_ns - since >= (rule.on_delay_ns if level else rule.off_delay_ns):
            del self._since[alarm]
            self._signal(alarm, Signal.COME if level else Signal.GO)

    def _end_shelves(self) -> None:
        for alarm in sorted(self._until):
            over = self._moment.now_ns >= self._until[alarm]
            if over or (alarm in self._once and not self._levels[alarm]):
                why = "its time is over" if over else "its condition is gone"
                self._signal(alarm, Signal.UNSHELVE, "scan", why)
                self._follow(alarm)

    # --- states -------------------------------------------------------------------------------

    def _signal(
        self, alarm: int, signal: Signal, actor: str = "", reason: str = "", **more: Any
    ) -> bool:
        """Step the table; False when it has no row for this. What cannot be told is not done."""
        rule, old = self._rules[alarm], self._states[alarm]
        new = self._moves[alarm].get((old, signal))
        if new is None:
            return False
        first = self._comes_first(rule, old, new)
        self._emit_in_turn(
            AlarmChanged(
                task=OWN_TASK,
                utc_ns=self._moment.utc_ns,
                cycle=self._moment.cycle,
                alarm=rule.name,
                old=_NAMES[old],
                new=_NAMES[new],
                severity=rule.severity,
                text=rule.text,
                group=self._groups[rule.group].name,
                value=self._value(rule),
                first_out=first,
                actor=actor,
                reason=reason,
                **more,
            )
        )
        self._states[alarm] = new
        self._account(rule, old, new)
        if new is not AlarmState.SHELVED:
            self._until.pop(alarm, None)
            if alarm in self._once:
                self._once.remove(alarm)
        if self._begun:
            self._show(alarm)
        self._dirty = True
        if signal is Signal.COME and rule.consequence is not Consequence.NONE:
            self._obey(rule)
        return True

    def _emit_in_turn(self, event: AlarmChanged) -> None:
        """Emit what happened, now or, in a flood, in one of the next cycles. In order."""
        if self._untold or self._emitted_now() >= EVENTS_PER_CYCLE:
            if event.actor:
                self._check(event)
            self._untold.append(event)
        else:
            self._emit(event)
            self._emitted += 1

    def _emitted_now(self) -> int:
        """Events that were emitted in this cycle."""
        cycle = self._moment.cycle
        if self._emitted_in != cycle:
            self._emitted_in, self._emitted = cycle, 0
        return self._emitted

    def _emit_more(self) -> None:
        """Emit what has waited since former cycles: a bounded part of it."""
        pending = self._untold
        part = max(EVENTS_PER_CYCLE, len(pending) // BACKLOG_CYCLES) - self._emitted_now()
        for _ in range(min(part, len(pending))):
            self._emit(pending.popleft())
            self._emitted += 1

    @property
    def pending(self) -> int:
        """Events of a flood that wait for a later cycle."""
        return len(self._untold)

    def emit_rest(self) -> None:
        """Emit all that waits; there will be no other cycle."""
        while self._untold:
            self._emit(self._untold.popleft())

    def _comes_first(self, rule: AlarmRule, old: AlarmState, new: AlarmState) -> bool:
        if old not in ANNUNCIATED and new in ANNUNCIATED:
            return not self._shown[rule.group]
        return new in ANNUNCIATED and self._first[rule.group] == rule.name

    def _account(self, rule: AlarmRule, old: AlarmState, new: AlarmState) -> None:
        """First-out of the group and of the whole cell, which is the last in the lists."""
        more = (new in ANNUNCIATED) - (old in ANNUNCIATED)
        if not more:
            return
        for group in (rule.group, -1):
            if more > 0 and not self._shown[group]:
                self._first[group] = rule.name
            self._shown[group] += more
            if not self._shown[group]:
                self._first[group] = ""

    def _count_shown(self) -> list[int]:
        """How many alarms of each group, and of the cell, an operator is to see."""
        shown = [0] * len(self._first_tags)
        for rule in self._rules:
            if self._states[rule.index] in ANNUNCIATED:
                shown[rule.group] += 1
                shown[-1] += 1
        self._first = [
            name if count else "" for name, count in zip(self._first, shown, strict=True)
        ]
        return shown

    def _value(self, rule: AlarmRule) -> Value | None:
        if rule.shows < 0:
            return None
        value = self._image.get(rule.shows)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    # --- tags ---------------------------------------------------------------------------------

    def _show(self, alarm: int) -> None:
        rule, state, put = self._rules[alarm], self._states[alarm], self._image.set
        put(rule.active, state in ACTIVE)
        if self._held[alarm]:
            self._image.set_quality(rule.active, self._held[alarm])
        put(rule.acked, state not in UNACKNOWLEDGED)
        put(rule.state, int(state))

    def _publish(self) -> None:
        self._dirty = False
        put, count = self._image.set, self._states.count
        active, unacknowledged, shelved = self._counts
        put(active, sum(map(count, ACTIVE)))
        put(unacknowledged, sum(map(count, UNACKNOWLEDGED)))
        put(shelved, count(AlarmState.SHELVED))
        for tag, name in zip(self._first_tags, self._first, strict=True):
            put(tag, name)

    # --- commands -----------------------------------------------------------------------------

    def acknowledge(self, name: str, actor: str, reason: str) -> None:
        """One alarm, or all that wait (empty name). Raises RefusedError."""
        if not name:
            for alarm, state in enumerate(self._states):
                if state in UNACKNOWLEDGED:
                    self._ask(alarm, Signal.ACKNOWLEDGE, actor, reason)
            return
        alarm = self._known(name)
        if not self._ask(alarm, Signal.ACKNOWLEDGE, actor, reason):
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"alarm '{name}' is {self._states[alarm].name}: there is nothing to acknowledge",
            )

    def shelve(self, command: ShelveAlarm) -> None:
        """Shelve an alarm for a limited time. Raises RefusedError."""
        name, duration_s, reason = command.alarm, command.duration_s, command.reason
        alarm = self._known(name)
        if not 0 < duration_s <= LONGEST_SHELF_S:
            raise RefusedError(
                ReplyCode.OUT_OF_RANGE,
                f"an alarm is shelved for more than 0 and at most {LONGEST_SHELF_S:g} s, not "
                f"{duration_s:g} s",
            )
        if not reason.strip():
            raise RefusedError(
                ReplyCode.OUT_OF_RANGE, f"alarm '{name}' is not shelved without a reason; give one"
            )
        told = {"shelved_s": duration_s, "once": command.once}
        if not self._ask(alarm, Signal.SHELVE, command.actor, reason, **told):
            rule, state = self._rules[alarm], self._states[alarm]
            why = (
                "it is switched off by configuration"
                if state is AlarmState.SUPPRESSED
                else f"it has the consequence '{rule.consequence}', which must stay in force"
            )
            raise RefusedError(ReplyCode.INVALID_STATE, f"alarm '{name}' is not shelved: {why}")
        self._until[alarm] = self._moment.now_ns + int(duration_s * 1e9)
        if command.once and alarm not in self._once:
            self._once.append(alarm)
        self._since.pop(alarm, None)

    def unshelve(self, name: str, actor: str, reason: str) -> None:
        """Bring an alarm back before its time. Raises RefusedError."""
        alarm = self._known(name)
        if not self._ask(alarm, Signal.UNSHELVE, actor, reason):
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"alarm '{name}' is {self._states[alarm].name}, not SHELVED",
            )
        # Judged with all others later in this cycle, on what the tags are then.
        self._since[alarm] = self._moment.now_ns

    def disable(self, name: str, actor: str, reason: str) -> None:
        """Take an alarm out of service. Raises RefusedError."""
        alarm = self._known(name)
        rule = self._rules[alarm]
        if rule.consequence is not Consequence.NONE:
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"alarm '{name}' stays in service: it has the consequence '{rule.consequence}', "
                "which must stay in force",
            )
        if not self._ask(alarm, Signal.SUPPRESS, actor, reason):
            raise RefusedError(ReplyCode.INVALID_STATE, f"alarm '{name}' is out of service already")
        self._since.pop(alarm, None)

    def enable(self, name: str, actor: str, reason: str) -> None:
        """Put an alarm back into service. Raises RefusedError."""
        alarm = self._known(name)
        if not self._rules[alarm].enabled:
            raise RefusedError(
                ReplyCode.INVALID_STATE,
                f"alarm '{name}' is switched off by configuration; take 'enabled: false' away",
            )
        if not self._ask(alarm, Signal.RESTORE, actor, reason):
            raise RefusedError(ReplyCode.INVALID_STATE, f"alarm '{name}' is in service already")
        self._since[alarm] = self._moment.now_ns  # judged later in this cycle

    def _ask(self, alarm: int, signal: Signal, actor: str, reason: str, **more: Any) -> bool:
        try:
            return self._signal(alarm, signal, actor, reason, **more)
        except ValueError as error:  # an event that is longer than the journal takes
            raise RefusedError(ReplyCode.OUT_OF_RANGE, str(error)) from error

    def _known(self, name: str) -> int:
        alarm = self._by_name.get(name)
        if alarm is None:
            raise RefusedError(
                ReplyCode.UNKNOWN_ALARM, f"there is no alarm '{name}'; see 'cellwright alarms'"
            )
        return alarm

    # --- what stands in the way ---------------------------------------------------------------

    def obstacle(self, *consequences: Consequence) -> str:
        """The first alarm that stands and has one of these consequences, or an empty string."""
        for rule in self._rules:
            if rule.consequence in consequences and self._states[rule.index] in ACTIVE:
                return f"alarm '{rule.name}' stands: {rule.text}"
        return ""

    # --- recording and replay -----------------------------------------------------------------

    def carried(self) -> dict[str, Any]:
        """What the next cycle goes on from, as plain data."""
        return {**super().carried(), "_states": [int(state) for state in self._states]}

    def carry_on(self, carried: dict[str, Any]) -> None:
        """Go on from what another one with the same plan carried."""
        # Recordings of former versions have no backlog, and no shelf that ends with a condition.
        super().carry_on({"_untold": deque(), "_once": [], **carried})
        self._states = [AlarmState(number) for number in self._states]
        self._shown = self._count_shown()
        self._dirty = not self._begun


def _judge(rule: AlarmRule, image: ProcessImage) -> Judge:
    if rule.limit is not None:
        return beyond(rule.limit, image.getter(rule.limit.tag))
    ask = condition(rule.when, image)
    return lambda level: ask()
