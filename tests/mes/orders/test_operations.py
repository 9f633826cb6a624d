"""Operations of an order on both databases; business rules are tests of their own name."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import select

from cellwright.io.messages import MarkAuthorised, MarkCompleted, SerialGranted, SerialRefused
from cellwright.mes import audit
from cellwright.mes.definitions import master_data
from cellwright.mes.definitions.tables import PartDefinition
from cellwright.mes.kernel.errors import MesError
from cellwright.mes.orders import operations, order_flow, work_orders
from cellwright.mes.orders.operation_states import OperationState
from cellwright.mes.orders.operations import Report
from cellwright.mes.orders.work_order_states import WorkOrderState

WHO = {"actor": "ann", "reason": "because"}
FIRST = "WO-2026-000001/10"


def act(store, service, *arguments):
    with store.session() as session:
        return service(session, *arguments, **WHO)


def states(store, job_order_id="JOB-1"):
    with store.reading() as session:
        return [
            (view.sequence, view.state, view.good)
            for view in operations.operations(session, job_order_id)
        ]


def locked(session, sequence, job_order_id="JOB-1"):
    return operations.find(session, order_flow.find(session, job_order_id, lock=True), sequence)


def start(store, sequence):
    with store.session() as session:
        operation = locked(session, sequence)
        operations.start(session, operation, **WHO)
        return operation.state


def report(store, sequence, good=0, scrap=0, rework=0, *, final=False):
    done = Report(good=Decimal(good), scrap=Decimal(scrap), rework=Decimal(rework))
    with store.session() as session:
        operations.report(session, locked(session, sequence), done, final=final, **WHO)


def complete(store, sequence, good=0, scrap=0, rework=0):
    report(store, sequence, good, scrap, rework, final=True)


@pytest.fixture
def prepared(run_order):
    """An order whose part is cleaned by hand, marked, and packed by hand."""
    return run_order(quantity=2, part_number="TB-PREP")


def test_an_operation_starts_only_when_its_predecessor_is_complete(store, prepared):
    with pytest.raises(MesError, match="waits for operation 10") as caught:
        start(store, 20)
    assert caught.value.code == "out_of_sequence"
    start(store, 10)
    with pytest.raises(MesError, match="which is RUNNING"):
        start(store, 20)
    complete(store, 10, 2)
    assert start(store, 20) is OperationState.RUNNING


def test_no_part_gets_a_serial_before_the_operation_ahead_of_marking_is_complete(
    store, cell, prepared
):
    refused = cell.request("b-1")
    assert isinstance(refused, SerialRefused)
    assert "waits for operation 10 (Clean)" in refused.reason
    start(store, 10)
    report(store, 10, 2)
    complete(store, 10)
    assert isinstance(cell.request("b-1"), SerialGranted)


def test_partial_quantity_flows_to_the_next_operation(store, cell, run_order):
    piecewise = {
        "part_number": "FLOW",
        "serial_pattern": "F{n:04d}",
        "routing": [
            {"sequence": 10, "name": "Clean", "kind": "manual"},
            {"sequence": 20, "name": "Mark", "kind": "mark"},
            {"sequence": 30, "name": "Pack", "kind": "manual"},
        ],
    }
    with store.session() as session:
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": [piecewise]}), "planner"
        )
    run_order(quantity=5, part_number="FLOW")
    assert isinstance(cell.request("b-1"), SerialRefused)
    start(store, 10)
    report(store, 10, 2)
    cell.mark(cell.request("b-1"))
    cell.mark(cell.request("b-2"))
    assert isinstance(cell.request("b-3"), SerialRefused)
    start(store, 30)
    with pytest.raises(MesError, match="report at most 2"):
        report(store, 30, 3)
    report(store, 30, 2)
    assert states(store) == [
        (10, OperationState.RUNNING, 2),
        (20, OperationState.RUNNING, 2),
        (30, OperationState.RUNNING, 2),
    ]


def test_an_order_waits_for_its_manual_operations_before_it_completes(store, cell, prepared):
    start(store, 10)
    report(store, 10, 2)
    complete(store, 10)
    cell.make("b-1")
    cell.make("b-2")
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.RUNNING
    start(store, 30)
    report(store, 30, 2)
    complete(store, 30)
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.COMPLETED
    assert [state for _, state, _ in states(store)] == [OperationState.COMPLETED] * 3


def test_an_inspection_operation_does_not_complete_while_an_inspection_is_open(
    store, cell, run_order
):
    run_order(quantity=3)
    cell.make("b-1")
    granted = cell.request("b-2")
    cell.mark(granted)
    cell.release("b-2", granted.serial, "good")
    with pytest.raises(MesError, match="inspect them first") as caught:
        complete(store, 20)
    assert caught.value.code == "inspection_open"


def test_pieces_that_the_cell_reports_are_counted_once_a_part(store, cell, run_order):
    run_order(quantity=2)
    granted = cell.make("b-1")
    assert states(store)[0] == (10, OperationState.RUNNING, 1)
    granted = cell.request("b-2")
    cell.mark(granted)
    cell.inspect("b-2", granted.serial, "not_ok")
    cell.inspect("b-2", granted.serial, "ok")
    cell.release("b-2", granted.serial)
    assert states(store) == [
        (10, OperationState.COMPLETED, 2),
        (20, OperationState.COMPLETED, 2),
    ]


def test_operations_that_never_began_are_stopped_with_their_order(store, prepared):
    act(store, work_orders.stop, "JOB-1")
    assert [state for _, state, _ in states(store)] == [OperationState.STOPPED] * 3


def test_a_person_cannot_report_what_the_cell_reports(store, run_order):
    run_order()
    with pytest.raises(MesError, match="the cell itself reports"):
        report(store, 10, 1)


def test_work_on_an_interrupted_order_is_refused(store, prepared):
    act(store, work_orders.pause, "JOB-1")
    for service, *rest in ((start, 10), (report, 10, 1), (complete, 10, 1)):
        with pytest.raises(MesError, match="its order is HELD") as caught:
            service(store, *rest)
        assert caught.value.code == "invalid_state"


def test_an_unknown_operation_is_refused_with_those_that_exist(store, run_order):
    run_order()
    with pytest.raises(MesError, match="no operation 15; it has 10, 20") as caught:
        start(store, 15)
    assert caught.value.code == "unknown_operation"


def test_reporting_needs_a_started_operation_and_at_least_one_piece(store, prepared):
    with pytest.raises(MesError, match="start it first"):
        report(store, 10, 1)
    start(store, 10)
    for pieces, complaint in (
        (0, "no piece is named"),
        (-1, "pieces are counted from 0"),
        (3, "report at most 2"),
        ("0.5", "is not whole"),
        ("NaN", "is not a number"),
        ("1e20", "is too large"),
    ):
        with pytest.raises(MesError, match=complaint):
            report(store, 10, pieces)
    with pytest.raises(MesError, match="no piece is named"):
        complete(store, 10)
    assert states(store)[0] == (10, OperationState.RUNNING, 0)


def test_every_step_of_a_person_is_audited(store, prepared):
    start(store, 10)
    report(store, 10, 1)
    complete(store, 10)
    with store.reading() as session:
        records = [
            record
            for record in audit.trail(session, entity_type="operation", entity_id=FIRST)
            if record.actor == "ann"
        ]
        assert [record.action for record in records] == [
            "operation.start",
            "operation.assign",
            "operation.report",
            "operation.complete",
        ]
        assert json.loads(records[2].old)["good"] == "0"
        assert json.loads(records[2].new)["good"] == "1"


@pytest.mark.parametrize(("outcome", "done"), [("acknowledged", 1), ("unknown", 1), ("failed", 0)])
def test_a_mark_that_was_certainly_not_made_passes_no_piece_on(
    store, cell, run_order, outcome, done
):
    run_order("MADE")
    granted = cell.request("b-1")
    cell.event(MarkAuthorised, "b-1", serial=granted.serial, content="c", device="d", template="t")
    cell.event(MarkCompleted, "b-1", serial=granted.serial, outcome=outcome)
    with store.reading() as session:
        assert operations.operations(session, "MADE")[0].good == done


def test_scrap_never_flows_on_and_a_completion_never_exceeds_what_came_in(store, two_steps):
    start(store, 10)
    complete(store, 10, 7, 3)
    start(store, 20)
    with pytest.raises(MesError, match="report at most 7") as caught:
        complete(store, 20, 8)
    assert caught.value.code == "quantity_exceeded"
    complete(store, 20, 7)
    assert states(store) == [(10, OperationState.COMPLETED, 7), (20, OperationState.COMPLETED, 7)]


def test_rework_is_an_operation_of_its_own_whose_good_pieces_flow_on(store, two_steps):
    start(store, 10)
    report(store, 10, 6, 0, 2)
    report(store, 10, 0, 1, 1, final=True)
    with store.reading() as session:
        (rework,) = [
            view for view in operations.operations(session, "JOB-1") if view.rework_of == 10
        ]
    assert (rework.sequence, rework.name) == (11, "Rework of Turn")
    start(store, 20)
    report(store, 20, 6)
    with pytest.raises(MesError, match="report at most 0"):
        report(store, 20, 1)
    start(store, 11)
    with pytest.raises(MesError, match="report at most 3"):
        report(store, 11, 4)
    complete(store, 11, 2, 1)
    with pytest.raises(MesError, match="report at most 2"):
        report(store, 20, 3)
    complete(store, 20, 2)
    act(store, work_orders.complete, "JOB-1")
    with store.reading() as session:
        view = work_orders.get(session, "JOB-1")
    assert (view.state, view.good, view.rejected) == (WorkOrderState.COMPLETED, 8, 2)


def test_people_complete_an_order_only_when_its_operations_are_done(store, two_steps):
    with pytest.raises(MesError, match=r"operation 10 \(Turn\) is WAITING") as caught:
        act(store, work_orders.complete, "JOB-1")
    assert caught.value.code == "operations_open"


def test_an_order_in_kilograms_takes_fractions_exactly(store, run_order):
    part = {
        "part_number": "POWDER",
        "serial_pattern": "P{n:04d}",
        "routing": [{"sequence": 10, "name": "Mix", "kind": "manual"}],
    }
    with store.session() as session:
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": [part]}), "planner"
        )
        session.scalars(
            select(PartDefinition).where(PartDefinition.part_number == "POWDER")
        ).one().unit = "KGM"
    run_order(quantity=Decimal("0.3"), part_number="POWDER")
    start(store, 10)
    report(store, 10, "0.1")
    report(store, 10, "0.2")
    with pytest.raises(MesError, match="report at most 0"):
        report(store, 10, "0.000001")
    with pytest.raises(MesError, match="more than 6 decimals"):
        report(store, 10, "0.0000001")


@pytest.fixture
def two_steps(store, run_order):
    """An order for ten pieces that are turned and then ground."""
    part = {
        "part_number": "SHAFT",
        "serial_pattern": "S{n:04d}",
        "routing": [
            {"sequence": 10, "name": "Turn", "kind": "manual"},
            {"sequence": 20, "name": "Grind", "kind": "manual"},
        ],
    }
    with store.session() as session:
        master_data.apply(
            session, master_data.MasterData.model_validate({"parts": [part]}), "planner"
        )
    return run_order(quantity=10, part_number="SHAFT")
