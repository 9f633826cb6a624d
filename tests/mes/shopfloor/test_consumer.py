"""What each journal event does to the records, on both databases."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from cellwright.io.messages import (
    AlarmChanged,
    AnyEvent,
    CommandRefused,
    Deliver,
    FaultRaised,
    ForceChanged,
    InspectionCompleted,
    MarkAuthorised,
    MarkCompleted,
    ModeChanged,
    PartArrived,
    PartReleased,
    ProgramChanged,
    SerialAssigned,
    SerialGranted,
    SerialRefused,
    SerialRequested,
    StatisticsReset,
    TagWritten,
)
from cellwright.mes import audit
from cellwright.mes.audit.chain import AuditRecord
from cellwright.mes.audit.tables import StateTransition
from cellwright.mes.orders import work_orders
from cellwright.mes.shopfloor import consumer, parts
from cellwright.mes.shopfloor.tables import Inspection, Mark, Serial, SerialState, Unit
from support.campaign import examples

NOW = int(datetime(2026, 3, 14, 12, tzinfo=UTC).timestamp()) * 1_000_000_000


def actions(store):
    with store.reading() as session:
        return session.scalars(select(AuditRecord.action).order_by(AuditRecord.sequence)).all()


def anomalies(store):
    return [action for action in actions(store) if action.startswith("anomaly.")]


def test_a_serial_request_is_answered_to_the_task_that_asked(cell, run_order):
    order = run_order()
    event = SerialRequested(task="marking", utc_ns=NOW, part_id="b-1", station="mark")
    assert cell.send(event) == [
        Deliver(
            actor="mes",
            reason="answer to a serial request",
            task="marking",
            body=SerialGranted(
                part_id="b-1",
                serial="SN26000001",
                order=order.number,
                part_number="TB-4711",
                revision="C",
                fields={"cage": "1A2B3", "heat": ""},
            ),
        )
    ]


def test_the_whole_way_of_a_part_is_on_record(store, cell, run_order):
    order = run_order(quantity=2)
    granted = cell.make("b-1")
    with store.reading() as session:
        (unit,) = parts.units(session, order.number)
        mark = session.scalars(select(Mark)).one()
        serial = session.scalars(select(Serial)).one()
        inspection = session.scalars(select(Inspection)).one()
        steps = session.scalars(
            select(StateTransition.new)
            .where(StateTransition.entity_type == "serial")
            .order_by(StateTransition.id)
        ).all()
    assert unit.part_id == "b-1"
    assert unit.serial == granted.serial
    assert unit.serial_state is SerialState.SPENT
    assert (unit.part_number, unit.revision, unit.verdict) == ("TB-4711", "C", "good")
    assert (unit.mark_outcome, unit.content, unit.read) == (
        "acknowledged",
        granted.serial,
        granted.serial,
    )
    assert (mark.device, mark.template, mark.duration_ms) == ("peen", "t.lua", 80.0)
    assert serial.reserved_utc < serial.assigned_utc < serial.spent_utc < mark.completed_utc
    assert inspection.unused_error_correction == 0.75
    assert steps == ["RESERVED", "ASSIGNED", "SPENT"]
    assert anomalies(store) == []
    assert [action for action in actions(store) if action.startswith(("event.", "serial."))] == [
        "event.part_arrived",
        "serial.reserve",
        "event.serial_assigned",
        "event.mark_authorised",
        "event.mark_completed",
        "event.inspection_completed",
        "event.part_released",
    ]


def test_units_are_found_by_order_number_and_by_job_order_id(store, cell, run_order):
    order = run_order("JOB-1", quantity=1)
    cell.make("b-1")
    run_order("JOB-2", quantity=1)
    cell.make("b-2")
    with store.reading() as session:
        assert [unit.part_id for unit in parts.units(session)] == ["b-1", "b-2"]
        assert [unit.part_id for unit in parts.units(session, limit=1)] == ["b-2"]
        for name in (order.number, "JOB-1"):
            assert [unit.part_id for unit in parts.units(session, name)] == ["b-1"]
        assert parts.units(session, "NOPE") == []


def test_an_event_that_was_seen_changes_nothing(store, cell, run_order, content):
    run_order()
    cell.make("b-1")
    before = content(store)
    for sequence, event in cell.log:
        with store.session() as session:
            consumer.consume(session, "journal", sequence, event)
    assert content(store) == before


def test_a_seen_serial_request_gets_its_answer_again(store, cell, run_order, content):
    run_order(quantity=1)
    granted, refused = cell.request("b-1"), cell.request("b-2")
    before = content(store)
    answers = []
    for sequence, event in cell.log:
        with store.session() as session:
            (command,) = consumer.consume(session, "journal", sequence, event)
        assert command.task == "mark"
        answers.append(command.body)
    assert answers == [granted, refused]
    assert isinstance(refused, SerialRefused)
    assert content(store) == before


def test_a_seen_refusal_is_not_turned_into_a_grant_by_a_later_order(store, cell, run_order):
    refused = cell.request("b-1")
    run_order()
    with store.session() as session:
        (command,) = consumer.consume(session, "journal", *cell.log[0])
    assert command.body == refused
    assert isinstance(cell.request("b-1"), SerialGranted)


def test_the_position_is_kept_for_each_source(store, cell):
    with store.session() as session:
        assert consumer.position(session, "journal") == 0
        event = PartArrived(task="t", utc_ns=NOW, part_id="b-1")
        consumer.consume(session, "journal", 7, event)
        consumer.consume(session, "other", 2, event)
    with store.reading() as session:
        assert consumer.position(session, "journal") == 7
        assert consumer.position(session, "other") == 2
        assert consumer.position(session, "third") == 0


def test_a_sequence_below_one_is_refused(store):
    with store.session() as session, pytest.raises(ValueError, match="start at 1"):
        consumer.consume(session, "journal", 0, PartArrived(task="t", utc_ns=1, part_id="b"))


def test_the_effects_and_the_position_are_stored_together_or_not_at_all(store, cell, run_order):
    run_order()
    event = SerialRequested(task="t", utc_ns=NOW, part_id="b-1", station="mark")

    def die() -> None:
        with store.session() as session:
            consumer.consume(session, "journal", 1, event)
            raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        die()
    with store.reading() as session:
        assert consumer.position(session, "journal") == 0
        assert session.scalars(select(func.count(Serial.id))).one() == 0


def test_a_refusal_is_audited_once_however_often_a_station_repeats_its_request(store, cell):
    for _ in range(5):
        cell.request("b-1")
    assert actions(store).count("serial.refuse") == 1


def test_marking_one_serial_twice_is_counted_and_reported(store, cell, run_order):
    run_order()
    granted = cell.request("b-1")
    cell.mark(granted)
    cell.event(
        MarkAuthorised, "b-1", serial=granted.serial, content="x", device="peen", template="t"
    )
    assert "anomaly.serial_marked_twice" in anomalies(store)
    with store.reading() as session:
        assert parts.counts(session).duplicates == 1


def test_a_part_that_uses_the_serial_of_another_is_reported(store, cell, run_order):
    run_order()
    granted = cell.request("b-1")
    cell.event(
        SerialAssigned,
        "b-2",
        serial=granted.serial,
        order=granted.order,
        part_number=granted.part_number,
    )
    assert anomalies(store) == ["anomaly.serial_mismatch"]
    with store.reading() as session:
        assert [unit.serial for unit in parts.units(session)] == [granted.serial, ""]


def test_a_serial_from_a_lost_store_is_taken_over_and_never_granted_again(store, cell, run_order):
    order = run_order(quantity=3)
    fields = {"serial": "SN26000001", "order": order.number, "part_number": "TB-4711"}
    cell.event(SerialAssigned, "old-1", **fields)
    assert anomalies(store) == ["anomaly.unknown_serial"]
    assert cell.request("b-1").serial == "SN26000002"
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").in_process == 2


def test_an_answer_of_the_marker_without_authorisation_is_recorded_and_reported(
    store, cell, run_order
):
    run_order()
    granted = cell.request("b-1")
    cell.event(MarkCompleted, "b-1", serial=granted.serial, outcome="acknowledged")
    assert anomalies(store) == ["anomaly.mark_not_authorised"]
    with store.reading() as session:
        assert session.scalars(select(Mark)).one().authorised_utc is None
        assert parts.counts(session).duplicates == 0


def test_the_first_verdict_stands(store, cell, run_order):
    run_order()
    granted = cell.make("b-1")
    cell.release("b-1", granted.serial, "rejected", "recovered")
    assert anomalies(store) == ["anomaly.released_twice"]
    with store.reading() as session:
        assert parts.counts(session) == parts.Counts(1, 0, 1, 0)
        assert work_orders.get(session, "JOB-1").good == 1


def test_a_verdict_that_is_not_known_counts_as_rejected(store, cell, run_order):
    run_order()
    granted = cell.request("b-1")
    cell.release("b-1", granted.serial, "perhaps")
    assert "anomaly.unknown_verdict" in anomalies(store)
    with store.reading() as session:
        assert parts.counts(session).rejected == 1


def test_a_part_that_never_asked_is_recorded_without_an_order(store, cell, run_order):
    run_order()
    cell.event(PartArrived, "b-1")
    cell.release("b-1", "", "rejected", "clamp stuck")
    with store.reading() as session:
        (unit,) = parts.units(session)
        assert (unit.order, unit.serial, unit.verdict) == ("", "", "rejected")
        assert work_orders.get(session, "JOB-1").rejected == 0
    assert anomalies(store) == []


def test_a_granted_part_may_leave_without_having_taken_its_serial(store, cell, run_order):
    run_order(quantity=1)
    cell.request("b-1")
    cell.release("b-1", "", "rejected", "clamp stuck")
    assert anomalies(store) == []
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
    assert (view.state, view.rejected) == ("COMPLETED", 1)


def test_a_good_part_without_a_serial_is_reported(store, cell):
    cell.release("b-1", "", "good")
    assert anomalies(store) == ["anomaly.good_without_serial"]


def test_a_release_with_another_serial_than_its_own_is_reported(store, cell, run_order):
    run_order()
    granted = cell.request("b-1")
    cell.mark(granted)
    cell.inspect("b-1", granted.serial)
    cell.release("b-1", "SN26999999")
    assert anomalies(store) == ["anomaly.serial_mismatch"]


def test_what_people_do_to_the_cell_is_audited_with_their_name_and_reason(store, cell):
    common = {"task": "scan", "utc_ns": NOW}
    person = {"actor": "ann", "reason": "shift start"}
    cell.send(ModeChanged(old="STOP", new="RUN", **person, **common))
    cell.send(TagWritten(tag="recipe", old=1, new=[2, math.nan], **person, **common))
    cell.send(ForceChanged(tag="clamp", value=True, **person, **common))
    change = {"tasks": ["press"], "old": "a1", "new": "b2", "files": ["press.py"]}
    cell.send(ProgramChanged(**change, **person, **common))
    cell.send(StatisticsReset(of="press", **person, **common))
    cell.send(FaultRaised(code="coupler_lost", text="no answer", **common))
    alarm = {"alarm": "air", "severity": 700, "text": "No air", "group": "media"}
    cell.send(AlarmChanged(old="NORMAL", new="UNACKNOWLEDGED", **alarm, **common))
    cell.send(AlarmChanged(old="UNACKNOWLEDGED", new="ACKNOWLEDGED", **alarm, **person, **common))
    cell.send(CommandRefused(command="start", actor="ann", why="in FAULT", **common))
    with store.reading() as session:
        rows = session.scalars(select(AuditRecord).order_by(AuditRecord.sequence)).all()[-9:]
        assert [(row.action, row.entity_id, row.actor, row.reason) for row in rows] == [
            ("event.mode_changed", "journal", "ann", "shift start"),
            ("event.tag_written", "recipe", "ann", "shift start"),
            ("event.force_changed", "clamp", "ann", "shift start"),
            ("event.program_changed", "b2", "ann", "shift start"),
            ("event.statistics_reset", "press", "ann", "shift start"),
            ("event.fault_raised", "journal", "scan", "no answer"),
            ("event.alarm_changed", "air", "scan", "No air"),
            ("event.alarm_changed", "air", "ann", "shift start"),
            ("event.command_refused", "start", "ann", "in FAULT"),
        ]
        assert '"new":[2,"nan"]' in rows[1].new
        move = session.scalars(
            select(StateTransition).where(StateTransition.entity_type == "cell")
        ).one()
        assert (move.old, move.new, move.actor) == ("STOP", "RUN", "ann")


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), 2**63])
def test_a_written_value_is_audited_as_it_is_however_large(store, cell, value):
    person = {"actor": "ann", "reason": "r", "task": "scan", "utc_ns": NOW}
    cell.send(TagWritten(tag="count", old=0, new=value, **person))
    with store.reading() as session:
        row = session.scalars(select(AuditRecord).order_by(AuditRecord.sequence.desc())).first()
        assert f'"new":"{value}",' in row.new


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["b-1", "b-2", "SN26000001", "WO-2026-000001", "good", "ok", "\0", "x" * 5_000]
)
NUMBER = st.integers(-(2**63), 2**64 - 1)
REAL = st.floats()


def struct(kind, **fields):
    return st.builds(kind, task=TEXT, utc_ns=NUMBER, cycle=NUMBER, **fields)


PART = {"part_id": TEXT, "station": TEXT, "serial": TEXT}
EVENTS: st.SearchStrategy[AnyEvent] = st.one_of(
    struct(PartArrived, part_id=TEXT),
    struct(SerialRequested, part_id=TEXT, station=TEXT),
    struct(SerialAssigned, **PART, order=TEXT, part_number=TEXT, fields=st.just({"\0": "\0"})),
    struct(MarkAuthorised, **PART, content=TEXT, device=TEXT, template=TEXT),
    struct(MarkCompleted, **PART, outcome=TEXT, detail=TEXT, duration_ms=REAL),
    struct(
        InspectionCompleted,
        **PART,
        expected=TEXT,
        read=TEXT,
        verdict=TEXT,
        reason=TEXT,
        unused_error_correction=st.none() | REAL,
        module_errors=st.none() | NUMBER,
        duration_ms=REAL,
        frame=NUMBER,
    ),
    struct(PartReleased, part_id=TEXT, serial=TEXT, verdict=TEXT, reason=TEXT),
    struct(TagWritten, tag=TEXT, old=REAL, new=st.lists(TEXT, max_size=2), actor=TEXT, reason=TEXT),
    struct(ForceChanged, tag=TEXT, value=st.none() | NUMBER, actor=TEXT, reason=TEXT),
    struct(StatisticsReset, of=TEXT, actor=TEXT, reason=TEXT),
    struct(FaultRaised, code=TEXT, text=TEXT),
    struct(
        AlarmChanged,
        alarm=TEXT,
        old=TEXT,
        new=TEXT,
        severity=NUMBER,
        text=TEXT,
        group=TEXT,
        value=st.none() | REAL,
        actor=TEXT,
        reason=TEXT,
    ),
    struct(CommandRefused, command=TEXT, actor=TEXT, why=TEXT),
    struct(ModeChanged, old=TEXT, new=TEXT, actor=TEXT, reason=TEXT),
    struct(
        ProgramChanged,
        tasks=st.lists(TEXT, max_size=2),
        old=TEXT,
        new=TEXT,
        files=st.lists(TEXT, max_size=2),
        actor=TEXT,
        reason=TEXT,
    ),
)


@examples(25)
@given(events=st.lists(EVENTS, min_size=1, max_size=12))
def test_no_event_whatever_it_holds_stops_the_consumption(store, run_order, events):
    with store.session() as session:
        if not work_orders.list_orders(session):
            work_orders.store_and_start(
                session,
                work_orders.JobOrder("FUZZ", "TB-4711", None, 1000),
                actor="erp",
                reason="",
            )
        place = consumer.position(session, "fuzz")
        for place, event in enumerate(events, place + 1):  # noqa: B020 - goes on there
            consumer.consume(session, "fuzz", place, event)
    with store.reading() as session:
        assert consumer.position(session, "fuzz") == place
        assert audit.verify(session).ok
        order = session.scalars(select(work_orders.WorkOrder)).one()
        for column, verdict in ((order.good, "good"), (order.rejected, "rejected")):
            counted = session.scalars(
                select(func.count(Unit.id)).where(
                    Unit.order_id == order.id, Unit.verdict == verdict
                )
            ).one()
            assert counted == column
        held = session.scalars(select(func.count(Unit.id)).where(Unit.order_id == order.id)).one()
        assert held == order.reserved
