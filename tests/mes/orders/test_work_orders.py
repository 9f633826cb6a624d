"""Work orders on both databases; business rules are tests of their own name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cellwright.mes import audit
from cellwright.mes.audit.tables import AuditRecord, StateTransition
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.orders import work_orders
from cellwright.mes.orders.tables import WorkOrder
from cellwright.mes.orders.work_order_states import TABLE, WorkOrderEvent, WorkOrderState
from cellwright.mes.orders.work_orders import JobOrder
from cellwright.mes.shopfloor import parts
from support.campaign import examples

TRANSITIONS = {(row.state, row.event): row for row in TABLE.rows}
WHO = {"actor": "ann", "reason": "because"}


def job(job_order_id="JOB-1", quantity=3, part_number="TB-4711", revision=None, **fields):
    return JobOrder(
        job_order_id=job_order_id,
        part_number=part_number,
        revision=revision,
        quantity=quantity,
        **fields,
    )


def act(store, service, *arguments):
    with store.session() as session:
        return service(session, *arguments, **WHO)


def transitions(store, number):
    with store.reading() as session:
        return [
            (row.old, row.event, row.new, row.actor, row.reason)
            for row in session.scalars(
                select(StateTransition)
                .where(
                    StateTransition.entity_type == "work_order",
                    StateTransition.entity_id == number,
                )
                .order_by(StateTransition.id)
            )
        ]


def test_a_stored_order_is_ready_and_every_move_on_the_way_is_a_row(store):
    view = act(store, work_orders.store, job())
    assert view.state is WorkOrderState.READY
    assert view.number == "WO-2026-000001"
    assert view.revision == "C"
    assert (view.good, view.rejected, view.in_process) == (0, 0, 0)
    assert view.created_utc == datetime(2026, 3, 14, 12, tzinfo=UTC)
    assert view.started_utc is None
    assert transitions(store, view.number) == [
        ("", "create", "CREATED", "ann", "because"),
        ("CREATED", "release", "RELEASED", "ann", "because"),
        ("RELEASED", "make_ready", "READY", "ann", "because"),
    ]


def test_order_numbers_count_up_within_their_year(store, clock):
    numbers = [act(store, work_orders.store, job("A")).number]
    numbers.append(act(store, work_orders.store, job("B")).number)
    clock.advance(366 * 86_400)
    numbers.append(act(store, work_orders.store, job("C")).number)
    assert numbers == ["WO-2026-000001", "WO-2026-000002", "WO-2027-000001"]


def test_no_release_without_a_routing(store, content):
    before = content(store)
    with pytest.raises(MesError, match="has no routing; add one") as caught:
        act(store, work_orders.store, job(part_number="TB-0000"))
    assert caught.value.code == "no_routing"
    assert content(store) == before


def test_a_repeated_job_order_is_refused_and_changes_nothing(store, content):
    first = act(store, work_orders.store, job())
    before = content(store)
    for _ in range(2):
        with pytest.raises(MesError, match=first.number) as caught:
            act(store, work_orders.store, job(quantity=99))
        assert caught.value.code == "duplicate"
    assert content(store) == before


def test_a_refusal_leaves_nothing_behind_even_when_the_caller_commits(store, content):
    before = content(store)
    with store.session() as session:
        for bad in (job(part_number="TB-0000"), job(part_number="NONE"), job(quantity=0)):
            with pytest.raises(MesError):
                work_orders.store(session, bad, **WHO)
    assert content(store) == before


NONSENSE = [
    ({"quantity": 0}, "quantity must be above 0"),
    ({"quantity": 10**9}, "quantity must be above 0, at most 1000000"),
    ({"quantity": Decimal("2.5")}, "is not whole"),
    ({"quantity": True}, "quantity must be a number"),
    ({"quantity": 2.5}, "quantity must be a number"),
    ({"priority": 40_000}, "Int16"),
    ({"job_order_id": ""}, "job_order_id is empty"),
    ({"job_order_id": "x" * 201}, "201 characters"),
    ({"job_order_id": "a\nb"}, "cannot be printed"),
    ({"part_number": "\ud800"}, "cannot be printed"),
    ({"description": "a\0b"}, "without NUL"),
    ({"parameters": {"heat": "\ud800"}}, "valid text"),
    ({"parameters": {"quantity_counts": "both"}}, "attempted or good"),
    ({"start_utc": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - that is the point
    (
        {
            "start_utc": datetime(2026, 1, 2, tzinfo=UTC),
            "end_utc": datetime(2026, 1, 1, tzinfo=UTC),
        },
        "end_utc lies before start_utc",
    ),
]


def test_an_order_that_makes_no_sense_is_refused(store, content):
    before = content(store)
    for change, complaint in NONSENSE:
        with pytest.raises(MesError, match=complaint) as caught:
            act(store, work_orders.store, job(**change))
        assert caught.value.code == "invalid_request"
    assert content(store) == before


def test_an_unknown_part_or_revision_is_refused_with_those_that_exist(store):
    with pytest.raises(MesError, match="there is no part 'NONE'") as caught:
        act(store, work_orders.store, job(part_number="NONE"))
    assert caught.value.code == "unknown_part"
    with pytest.raises(MesError, match="no revision 'Z', only 'C'") as caught:
        act(store, work_orders.store, job(revision="Z"))
    assert caught.value.code == "unknown_part"


def test_an_unknown_job_order_is_refused_by_every_service(store):
    for service in (
        work_orders.start,
        work_orders.pause,
        work_orders.suspend,
        work_orders.resume,
        work_orders.stop,
        work_orders.abort,
        work_orders.cancel,
        work_orders.close,
    ):
        with pytest.raises(MesError, match="no job order 'NOPE'") as caught:
            act(store, service, "NOPE")
        assert caught.value.code == "unknown_order"
    with store.reading() as session, pytest.raises(MesError):
        work_orders.get(session, "NOPE")


def test_an_empty_actor_is_refused(store):
    with store.session() as session, pytest.raises(MesError, match="actor is empty"):
        work_orders.store(session, job(), actor="", reason="")


def test_an_order_completes_by_itself_when_all_its_parts_are_released(store, cell, run_order):
    order = run_order(quantity=3)
    cell.make("b-1")
    cell.make("b-2", verdict="rejected")
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
    assert (view.state, view.good, view.rejected) == (WorkOrderState.RUNNING, 1, 1)
    cell.make("b-3")
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
    assert (view.state, view.good, view.rejected) == (WorkOrderState.COMPLETED, 2, 1)
    assert view.ended_utc is not None
    assert transitions(store, order.number)[-1][1:4] == ("complete", "COMPLETED", "mes")


def test_an_order_that_counts_good_parts_replaces_the_rejected_ones(store, cell, run_order):
    run_order(quantity=2, parameters={"quantity_counts": "good"})
    cell.make("b-1", verdict="rejected")
    cell.make("b-2")
    cell.make("b-3", verdict="rejected")
    cell.make("b-4")
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
        assert (view.state, view.good, view.rejected) == (WorkOrderState.COMPLETED, 2, 2)
        assert parts.counts(session) == parts.Counts(2, 2, 4, 0)


def test_a_held_order_whose_last_part_was_released_completes_when_it_is_resumed(
    store, cell, run_order
):
    run_order(quantity=1)
    granted = cell.request("b-1")
    act(store, work_orders.pause, "JOB-1")
    cell.mark(granted)
    cell.inspect("b-1", granted.serial)
    cell.release("b-1", granted.serial)
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.HELD
    assert act(store, work_orders.resume, "JOB-1").state is WorkOrderState.COMPLETED


def test_stop_completes_early_and_parts_in_process_are_still_counted(store, cell, run_order):
    run_order(quantity=5)
    cell.make("b-1")
    granted = cell.request("b-2")
    cell.mark(granted)
    assert act(store, work_orders.stop, "JOB-1").state is WorkOrderState.COMPLETED
    cell.inspect("b-2", granted.serial)
    cell.release("b-2", granted.serial)
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
    assert (view.state, view.good, view.in_process) == (WorkOrderState.COMPLETED, 2, 0)


def test_no_completion_while_a_required_inspection_is_open(store, cell, run_order):
    run_order(quantity=1)
    granted = cell.request("b-1")
    cell.mark(granted)
    cell.release("b-1", granted.serial)
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.RUNNING
    with pytest.raises(MesError, match=r"1 part\(s\) released as good") as caught:
        act(store, work_orders.stop, "JOB-1")
    assert caught.value.code == "inspection_open"
    cell.inspect("b-1", granted.serial)
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.COMPLETED


def test_no_completion_while_a_required_inspection_is_failed(store, cell, run_order):
    run_order(quantity=1)
    granted = cell.request("b-1")
    cell.mark(granted)
    cell.inspect("b-1", granted.serial, verdict="not_ok")
    cell.release("b-1", granted.serial, "good")
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.RUNNING
        actions = set(session.scalars(select(AuditRecord.action)))
    assert {"anomaly.good_without_inspection", "work_order.completion_refused"} <= actions


def test_actual_end_is_never_before_actual_start_even_when_the_clock_is_set_back(
    store, clock, run_order
):
    started = run_order().started_utc
    clock.advance(-3600)
    view = act(store, work_orders.abort, "JOB-1")
    assert view.ended_utc == started
    with store.reading() as session:
        row = session.scalars(
            select(StateTransition).where(StateTransition.event == "abort")
        ).first()
        assert row.utc == started - timedelta(hours=1)


def test_the_database_itself_refuses_an_end_before_the_start(store, run_order):
    started = run_order().started_utc
    with pytest.raises(IntegrityError), store.session() as session:
        session.scalars(select(WorkOrder)).one().ended_utc = started - timedelta(seconds=1)


def test_an_order_of_which_a_part_holds_a_serial_cannot_be_cancelled(store, cell, run_order):
    run_order()
    cell.request("b-1")
    with pytest.raises(MesError, match="stop or abort it instead") as caught:
        act(store, work_orders.cancel, "JOB-1")
    assert caught.value.code == "invalid_state"
    assert act(store, work_orders.abort, "JOB-1").state is WorkOrderState.ABORTED


def test_a_running_order_without_consumption_can_be_cancelled(store, run_order):
    run_order()
    assert act(store, work_orders.cancel, "JOB-1").state is WorkOrderState.CANCELLED


def test_an_order_in_work_is_listed_however_many_newer_ones_there_are(store, run_order):
    def move(service, job_order_id):
        with store.session() as session:
            service(session, job_order_id, actor="ann", reason="r")

    def put(job_order_id):
        with store.session() as session:
            work_orders.store(
                session, JobOrder(job_order_id, "TB-4711", None, 1), actor="erp", reason=""
            )

    run_order("RUNS")
    put("WAITS")
    for number in range(4):
        put(f"ENDED-{number}")
        move(work_orders.cancel, f"ENDED-{number}")

    def listed(limit):
        with store.reading() as session:
            return [view.job_order_id for view in work_orders.list_orders(session, limit=limit)]

    assert listed(1) == ["RUNS"]
    assert listed(2) == ["RUNS", "WAITS"]
    assert listed(4) == ["RUNS", "WAITS", "ENDED-2", "ENDED-3"]
    assert listed(None) == listed(9) == ["RUNS", "WAITS", *(f"ENDED-{n}" for n in range(4))]


def test_orders_are_listed_oldest_first(store, run_order):
    run_order("A", priority=1)
    run_order("B", priority=9)
    with store.reading() as session:
        assert [view.job_order_id for view in work_orders.list_orders(session)] == ["A", "B"]
        newest = work_orders.list_orders(session, limit=1)
        assert [view.job_order_id for view in newest] == ["B"]


SERVICES = {
    WorkOrderEvent.START: work_orders.start,
    WorkOrderEvent.PAUSE: work_orders.pause,
    WorkOrderEvent.SUSPEND: work_orders.suspend,
    WorkOrderEvent.RESUME: work_orders.resume,
    WorkOrderEvent.STOP: work_orders.stop,
    WorkOrderEvent.ABORT: work_orders.abort,
    WorkOrderEvent.CANCEL: work_orders.cancel,
    WorkOrderEvent.CLOSE: work_orders.close,
}


@examples(15)
@given(walk=st.lists(st.sampled_from(sorted(SERVICES)), min_size=1, max_size=12))
def test_any_walk_of_service_calls_follows_the_table_and_leaves_a_row_and_an_audit_record(
    store, walk
):
    with store.session() as session:
        count = len(work_orders.list_orders(session))
        name = f"WALK-{count}"
        view = work_orders.store(session, job(name), **WHO)
    state, moves = view.state, 3
    for event in walk:
        move = TRANSITIONS.get((state, event))
        if move is None:
            with pytest.raises(MesError) as caught:
                act(store, SERVICES[event], name)
            assert caught.value.code == "invalid_state"
        else:
            view = act(store, SERVICES[event], name)
            assert view.state is move.next
            state, moves = view.state, moves + 1
    rows = transitions(store, view.number)
    assert len(rows) == moves
    assert rows[-1][2] == state
    assert all(later[0] == earlier[2] for earlier, later in pairwise(rows))
    with store.reading() as session:
        audited = session.scalars(
            select(AuditRecord.action).where(AuditRecord.entity_id == view.number)
        ).all()
        assert len(audited) == moves
        assert audit.verify(session).ok
