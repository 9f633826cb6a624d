"""The state of every alarm as clients see it: a Condition after OPC 10000-9, made of the journal.

The runtime's alarms are the truth (ISA-18.2); their changes come as events of the journal, in
order. A condition keeps what the journal said last, so that it is the same after a restart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua

from cellwright.io.image import ACTIVE, ANNUNCIATED, UNACKNOWLEDGED, AlarmState
from cellwright.io.messages import AlarmChanged, AlarmCommented
from cellwright.io.plan import AlarmRule, LimitKind
from cellwright.opcua_model.address_space.ids import standard
from cellwright.opcua_model.address_space.values import utc_datetime
from cellwright.opcua_model.events.record import Base, EventRecord, Path, path
from cellwright.opcua_model.nodes.events.event_ids import EventIds

LEVEL_ALARM: Final = standard(ua.ObjectIds.ExclusiveLevelAlarmType)
DISCRETE_ALARM: Final = standard(ua.ObjectIds.DiscreteAlarmType)
LONGEST_SHELF_MS: Final = 86_400_000.0
"""Of the runtime's alarms: a day."""
_KEPT_IDS: Final = 256
"""Events since the alarm came that can still be acknowledged or commented."""
_STATES: Final = {state.name: state for state in AlarmState}

_T = ua.VariantType
_CLASS: Final = (standard(ua.ObjectIds.ProcessConditionClassType), "ProcessConditionClassType")
_LIMITS: Final = {
    LimitKind.HIGH_HIGH: ("HighHigh", ua.ObjectIds.ExclusiveLimitStateMachineType_HighHigh),
    LimitKind.HIGH: ("High", ua.ObjectIds.ExclusiveLimitStateMachineType_High),
    LimitKind.LOW: ("Low", ua.ObjectIds.ExclusiveLimitStateMachineType_Low),
    LimitKind.LOW_LOW: ("LowLow", ua.ObjectIds.ExclusiveLimitStateMachineType_LowLow),
}
_UNSHELVED: Final = ("Unshelved", ua.ObjectIds.ShelvedStateMachineType_Unshelved)
_TIMED: Final = ("Timed Shelved", ua.ObjectIds.ShelvedStateMachineType_TimedShelved)
_ONE_SHOT: Final = ("One Shot Shelved", ua.ObjectIds.ShelvedStateMachineType_OneShotShelved)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the conditions of a cell stand."""

    node_id: ua.NodeId
    source: ua.NodeId
    source_name: str
    input: ua.NodeId
    """Node of the tag that is watched; null when it is several."""
    notifiers: frozenset[ua.NodeId]


@dataclass(slots=True)
class Condition:
    """One alarm."""

    rule: AlarmRule
    place: Place
    state: AlarmState = AlarmState.NORMAL
    event_id: bytes = b""
    time: ua.DateTime = field(default_factory=lambda: utc_datetime(0))
    changed: dict[str, ua.DateTime] = field(default_factory=dict)
    """When each of its states was entered."""
    message: str = ""
    severity: int = 0
    last_severity: int = 0
    comment: tuple[str, ua.DateTime, str] = ("", utc_datetime(0), "")
    """Text, time, and who wrote it."""
    shelf: tuple[int, bool] = (0, False)
    """When it ends (UTC, ns), and whether it ends with the condition."""
    ids: deque[bytes] = field(default_factory=lambda: deque(maxlen=_KEPT_IDS))
    fields: Mapping[Path, ua.Variant] = field(default_factory=dict)

    @property
    def type(self) -> ua.NodeId:
        """Its type in the address space."""
        return DISCRETE_ALARM if self.rule.limit is None else LEVEL_ALARM

    @property
    def retain(self) -> bool:
        """Whether it is of interest to somebody who looks now (OPC 10000-9, 5.5.2)."""
        return self.state in ANNUNCIATED or self.state is AlarmState.SHELVED

    def begin(self) -> None:
        """As it is before anything was ever told of it."""
        self.severity = self.last_severity = self.rule.severity
        self.message = self.rule.text
        self.event_id = self.event_id or bytes(16)
        self._renew()

    def change(self, event_id: bytes, event: AlarmChanged) -> EventRecord:
        """Take over a change of state; gives what clients are told."""
        old, new = self.state, _STATES[event.new]
        at = utc_datetime(event.utc_ns)
        if new in ACTIVE and old not in ACTIVE:
            self.ids.clear()
        for name, now, before in _two_states(new, old):
            if now != before:
                self.changed[name] = at
        self.state = new
        if event.severity != self.severity:
            self.last_severity, self.severity = self.severity, event.severity
            self.changed["LastSeverity"] = at
        if new is AlarmState.SHELVED:
            self.shelf = (event.utc_ns + int(event.shelved_s * 1e9), event.once)
        if event.actor:
            self.comment = (event.reason, at, event.actor)
        self.message = event.text
        return self._told(event_id, at)

    def note(self, event_id: bytes, event: AlarmCommented) -> EventRecord:
        """Take over an operator's comment."""
        at = utc_datetime(event.utc_ns)
        self.comment = (event.text, at, event.actor)
        return self._told(event_id, at)

    def then(self, event_id: bytes, event: AlarmChanged | AlarmCommented) -> EventRecord:
        """What clients were told of an earlier change: the event alone says how it was then."""
        was = Condition(self.rule, self.place)
        was.begin()
        if isinstance(event, AlarmCommented):
            return was.note(event_id, event)
        was.state, was.severity = _STATES[event.old], event.severity
        return was.change(event_id, event)

    def record(self) -> EventRecord:
        """Its present state as an event: what a refresh tells."""
        return EventRecord(self.type, self.place.notifiers, self.fields, self.place.node_id)

    def _told(self, event_id: bytes, at: ua.DateTime) -> EventRecord:
        self.event_id, self.time = event_id, at
        self.ids.append(event_id)
        self._renew()
        return self.record()

    def _renew(self) -> None:
        place = self.place
        base = Base(
            self.type, self.event_id, self.time, self.message, self.severity, place.source,
            place.source_name,
        )  # fmt: skip
        self.fields = {**base.fields(), **dict(self._condition()), **dict(self._alarm())}

    def _condition(self) -> Iterator[tuple[Path, ua.Variant]]:
        """What ConditionType and AcknowledgeableConditionType have (5.5.2, 5.7.2)."""
        text, at, who = self.comment
        yield path("ConditionClassId"), ua.Variant(_CLASS[0], _T.NodeId)
        yield path("ConditionClassName"), _text(_CLASS[1])
        yield path("ConditionName"), ua.Variant(self.rule.name, _T.String)
        yield path("BranchId"), ua.Variant(ua.NodeId(), _T.NodeId)
        yield path("Retain"), ua.Variant(self.retain, _T.Boolean)
        yield path("Quality"), ua.Variant(ua.StatusCode(), _T.StatusCode)
        yield path("Quality", "SourceTimestamp"), ua.Variant(self.time, _T.DateTime)
        yield path("LastSeverity"), ua.Variant(self.last_severity, _T.UInt16)
        moment = self.changed.get("LastSeverity", self.time)
        yield path("LastSeverity", "SourceTimestamp"), ua.Variant(moment, _T.DateTime)
        yield path("Comment"), _text(text)
        yield path("Comment", "SourceTimestamp"), ua.Variant(at, _T.DateTime)
        yield path("ClientUserId"), ua.Variant(who, _T.String)
        for name, holds, _ in _two_states(self.state, self.state):
            yield path(name), _text(_WORDS[name][not holds])
            yield path(name, "Id"), ua.Variant(holds, _T.Boolean)
            moment = self.changed.get(name, self.time)
            yield path(name, "TransitionTime"), ua.Variant(moment, _T.DateTime)

    def _alarm(self) -> Iterator[tuple[Path, ua.Variant]]:
        """What AlarmConditionType and the limit alarm have (5.8.2, 5.8.19)."""
        shelved = self.state is AlarmState.SHELVED
        name, number = (_ONE_SHOT if self.shelf[1] else _TIMED) if shelved else _UNSHELVED
        hidden = self.state in (AlarmState.SHELVED, AlarmState.SUPPRESSED)
        yield path("InputNode"), ua.Variant(self.place.input, _T.NodeId)
        yield path("SuppressedOrShelved"), ua.Variant(hidden, _T.Boolean)
        yield path("MaxTimeShelved"), ua.Variant(LONGEST_SHELF_MS, _T.Double)
        yield path("ShelvingState", "CurrentState"), _text(name)
        yield path("ShelvingState", "CurrentState", "Id"), ua.Variant(standard(number), _T.NodeId)
        yield path("ShelvingState", "UnshelveTime"), ua.Variant(0.0, _T.Double)
        limit = self.rule.limit
        if limit is None:
            return
        word, state = _LIMITS[limit.kind]
        on = self.state in ACTIVE
        yield path("LimitState", "CurrentState"), _text(word if on else "")
        yield (
            path("LimitState", "CurrentState", "Id"),
            ua.Variant(standard(state) if on else ua.NodeId(), _T.NodeId),
        )
        yield path(f"{word}Limit"), ua.Variant(limit.at, _T.Double)

    def unshelve_ms(self, now_ns: int) -> float:
        """Time until the shelf ends; 0 when there is none (OPC 10000-9, 5.8.10.2)."""
        if self.state is not AlarmState.SHELVED:
            return 0.0
        return max(0.0, (self.shelf[0] - now_ns) / 1e6)


_WORDS: Final = {
    "EnabledState": ("Enabled", "Disabled"),
    "AckedState": ("Acknowledged", "Unacknowledged"),
    "ActiveState": ("Active", "Inactive"),
    "SuppressedState": ("Suppressed", "Unsuppressed"),
}


_HOLDS: Final[dict[str, Callable[[AlarmState], bool]]] = {
    "EnabledState": lambda state: state is not AlarmState.SUPPRESSED,
    "AckedState": lambda state: state not in UNACKNOWLEDGED,
    "ActiveState": lambda state: state in ACTIVE,
    "SuppressedState": lambda state: state is AlarmState.SUPPRESSED,
}


def _two_states(new: AlarmState, old: AlarmState) -> tuple[tuple[str, bool, bool], ...]:
    """Name of each two-state variable, whether it holds, and whether it held."""
    return tuple((name, holds(new), holds(old)) for name, holds in _HOLDS.items())


def _text(text: str) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(text), _T.LocalizedText)


def rebuilt(condition: Condition, ids: EventIds, told: list[tuple[int, Any]]) -> None:
    """Bring a condition to what the journal said of it: events with sequences, oldest first."""
    for sequence, event in told:
        if isinstance(event, AlarmChanged):
            condition.change(ids.of(sequence), event)
        else:
            condition.note(ids.of(sequence), event)
