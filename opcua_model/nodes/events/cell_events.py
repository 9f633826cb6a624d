"""Everything about events of one cell: the folder of alarms, the methods, and the way from the
journal to the clients.

Built once at the start; then `run` follows the journal. Events without a client cost a look at the
journal and no more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from asyncua import ua

from cellwright.io.image import RingError
from cellwright.io.journal.journal import JOURNAL_FILE, JournalError, JournalReader, Search
from cellwright.io.messages import (
    AccessAudited,
    AlarmChanged,
    AlarmCommented,
    AnyEvent,
    MessageError,
    TagWritten,
    decode_event,
    encode,
)
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import Clock
from cellwright.opcua_model.address_space.builder import COMPONENT, Builder
from cellwright.opcua_model.address_space.ids import below, cell_id, standard, type_id
from cellwright.opcua_model.address_space.tag_paths import TagPaths
from cellwright.opcua_model.address_space.values import utc_datetime, utc_now
from cellwright.opcua_model.address_space.virtual_nodes import VirtualNodes
from cellwright.opcua_model.events.record import SERVER, Base, EventRecord
from cellwright.opcua_model.nodes.cell_tree import application_uri
from cellwright.opcua_model.nodes.events import event_types
from cellwright.opcua_model.nodes.events.audit_events import AuditEvents
from cellwright.opcua_model.nodes.events.condition_methods import ConditionMethods
from cellwright.opcua_model.nodes.events.condition_nodes import ConditionNodes
from cellwright.opcua_model.nodes.events.conditions import Condition, Place, rebuilt
from cellwright.opcua_model.nodes.events.event_ids import EventIds
from cellwright.opcua_model.nodes.events.journal_tail import BATCH, JournalTail, Rows
from cellwright.opcua_model.nodes.lazy_folder import LazyFolder
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.opcua_model.services.methods import CellMethods

MOST_CHILDREN: Final = 200
"""Conditions in one folder; more lie in a folder for each group."""
_HAS_NOTIFIER: Final = standard(ua.ObjectIds.HasNotifier)
_REFRESH_START: Final = standard(ua.ObjectIds.RefreshStartEventType)
_REFRESH_END: Final = standard(ua.ObjectIds.RefreshEndEventType)
_KINDS: Final = ("alarm_changed", "alarm_commented")
_log = structlog.get_logger(__name__)


class CellEvents:
    """The events of one cell. Use: `build`, then `run` until it is cancelled."""

    def __init__(
        self,
        plan: Plan,
        clock: Clock,
        put: Callable[[bytes], Any],
        emit: Callable[[EventRecord], Any],
    ) -> None:
        """``put`` takes an encoded event to the journal, ``emit`` a record to all clients."""
        self._plan, self._clock = plan, clock
        self._put, self._emit = put, emit
        self._audit = AuditEvents(application_uri(plan))
        self._ids: EventIds | None = None
        self._tail = JournalTail(
            Path(self._plan.data) / JOURNAL_FILE, _KINDS, self._begin, self._take
        )

    def build(
        self, builder: Builder, machine: ua.NodeId, nodes: VirtualNodes, paths: TagPaths
    ) -> None:
        """Make the types, the folder and its conditions, and who hears of what."""
        self._paths, self._machine = paths, machine
        event_types.add_event_types(builder)
        for node_id in (SERVER, machine):
            builder.notifier(node_id)
        builder.reference(SERVER, _HAS_NOTIFIER, machine)
        self._notifiers = frozenset({SERVER, machine})
        path = f"{self._plan.cell}.Alarms"
        folder = builder.folder(machine, cell_id(path), "Alarms", "Alarms as conditions")
        builder.notifier(folder)
        builder.reference(machine, _HAS_NOTIFIER, folder)
        hears = self._notifiers | {folder}
        self._conditions = {
            rule.name: Condition(rule, self._place(path, rule.name, rule.shows, hears))
            for rule in self._plan.alarms
        }
        for condition in self._conditions.values():
            condition.begin()
        self._nodes = ConditionNodes(builder, list(self._conditions.values()), self._clock.utc_ns)
        nodes.add(self._nodes)
        self._fill(builder, folder)

    def methods(
        self, methods: CellMethods, commands: CommandSender, subscription: Callable[..., Any]
    ) -> None:
        """Let clients call the methods of conditions, and tell auditors of every call."""
        found = ConditionMethods(
            self._condition_of, commands, self._note, subscription, self._refresh
        )
        methods.methods.update(found.methods())
        methods.audit = lambda *call: self._emit(self._audit.call(*call))

    async def run(self) -> None:
        """Follow the journal until it is cancelled."""
        await self._tail.run()

    @property
    def notifiers(self) -> frozenset[ua.NodeId]:
        """Nodes that have a history of events."""
        return self._notifiers | {cell_id(f"{self._plan.cell}.Alarms")}

    def past(
        self, span_ns: tuple[int, int], place: int | None, *, backward: bool
    ) -> tuple[list[EventRecord], int | None]:
        """Some events of a span and the place to go on from; see `EventSource`."""
        search = Search(from_ns=span_ns[0], to_ns=span_ns[1])
        try:
            with JournalReader(Path(self._plan.data) / JOURNAL_FILE) as reader:
                ids = EventIds(reader.identity)
                if backward:
                    rows = reader.newest(search, place, BATCH)
                else:
                    rows = reader.later(search, place or 0, BATCH)
        except JournalError as error:
            raise OSError(str(error)) from error
        found: list[EventRecord] = []
        for row in rows:
            try:
                event = decode_event(row.payload)
            except MessageError:
                continue  # it was told when it was read in order
            found += self._records(ids.of(row.sequence), event, live=False)
        return found, rows[-1].sequence if len(rows) == BATCH else None

    # --- nodes ------------------------------------------------------------------------------------

    def _place(self, path: str, name: str, shows: int, hears: frozenset[ua.NodeId]) -> Place:
        node_id = cell_id(f"{path}.{name}")
        if shows < 0:
            return Place(node_id, self._machine, self._plan.cell, ua.NodeId(), hears)
        tag = self._plan.tags[shows]
        of_tag = self._paths.node_id(tag)
        return Place(node_id, of_tag, tag.name, of_tag, hears)

    def _fill(self, builder: Builder, folder: ua.NodeId) -> None:
        """The conditions in their folder, by way of one for each group when they are many."""
        grouped: dict[ua.NodeId, list[Condition]] = defaultdict(list)
        many = len(self._conditions) > MOST_CHILDREN
        for condition in self._conditions.values():
            above = folder
            if many:
                group = self._plan.alarm_groups[condition.rule.group].name
                above = below(folder, f"group {group}")
                if above not in grouped:
                    builder.folder(folder, above, group)
            grouped[above].append(condition)
            self._nodes.put(above, condition)
        for above, conditions in grouped.items():
            LazyFolder.put(builder.space, above, self._listing(conditions))

    def _listing(self, conditions: list[Condition]) -> Callable[[], list[ua.ReferenceDescription]]:
        return lambda: [self._nodes.describe(each, COMPONENT) for each in conditions]

    def _condition_of(self, node_id: ua.NodeId) -> Condition | None:
        found = self._nodes.find(node_id)
        return None if found is None else found[0]

    # --- events -----------------------------------------------------------------------------------

    def _begin(self, journal: str, past: Rows) -> None:
        """Bring the conditions to what the journal says; nobody is told of the past."""
        ids = self._ids = EventIds(journal)
        told: dict[str, list[tuple[int, Any]]] = defaultdict(list)
        for sequence, event in past:
            if isinstance(event, AlarmChanged | AlarmCommented):
                told[event.alarm].append((sequence, event))
        for name, rows in told.items():
            condition = self._conditions.get(name)
            if condition is not None:
                rebuilt(condition, ids, rows)
                self._nodes.changed(condition)

    def _take(self, rows: Rows) -> None:
        assert self._ids is not None
        for sequence, event in rows:
            for record in self._records(self._ids.of(sequence), event):
                self._emit(record)

    def _records(
        self, event_id: bytes, event: AnyEvent, *, live: bool = True
    ) -> Iterator[EventRecord]:
        """What a row of the journal tells clients."""
        if isinstance(event, AccessAudited):
            yield self._audit.access(event_id, event)
            return
        if isinstance(event, AlarmChanged | AlarmCommented):
            yield from self._of_alarm(event_id, event, live=live)
        if isinstance(event, TagWritten):
            tag = self._paths.tag_named(event.tag)
            if tag is not None:
                yield self._audit.write(event_id, event, tag, self._paths.node_id(tag))
        kind = event_types.kind_of(event)
        if kind is not None:
            base = Base(
                type_id(kind.type_name),
                event_id,
                utc_datetime(event.utc_ns),
                event_types.message(kind, event),
                kind.severity,
                self._machine,
                self._plan.cell,
            )
            fields = base.fields() | event_types.own_fields(event)
            yield EventRecord(base.type, self._notifiers, fields)

    def _of_alarm(
        self, event_id: bytes, event: AlarmChanged | AlarmCommented, *, live: bool
    ) -> Iterator[EventRecord]:
        condition = self._conditions.get(event.alarm)
        if condition is None:
            return  # an alarm that the cell's file does not have any more
        if not live:
            yield condition.then(event_id, event)
            return
        if isinstance(event, AlarmChanged):
            yield condition.change(event_id, event)
        else:
            yield condition.note(event_id, event)
        self._nodes.changed(condition)

    def _refresh(self) -> list[EventRecord]:
        """What a client is told that wants to know how things stand (OPC 10000-9, 5.5.7)."""
        standing = [each.record() for each in self._conditions.values() if each.retain]
        return [self._mark(_REFRESH_START), *standing, self._mark(_REFRESH_END)]

    def _mark(self, type_: ua.NodeId) -> EventRecord:
        words = "Refresh begins" if type_ == _REFRESH_START else "Refresh ends"
        base = Base(type_, self._fresh_id(), utc_now(), words, 1)
        folder = cell_id(f"{self._plan.cell}.Alarms")
        return EventRecord(type_, self._notifiers | {folder}, base.fields())

    def _fresh_id(self) -> bytes:
        """Of an event that is in no journal."""
        return self._clock.utc_ns().to_bytes(16, "big")

    def _note(self, alarm: str, text: str, actor: str) -> bool:
        """Put a comment into the journal, from where it comes back as an event."""
        event = AlarmCommented(
            task="gateway", utc_ns=self._clock.utc_ns(), alarm=alarm, text=text, actor=actor
        )
        try:
            self._put(encode(event))
        except RingError as error:
            _log.error("comment not recorded", alarm=alarm, error=str(error))
            return False
        return True
