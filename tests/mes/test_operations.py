"""Operations of an order on both databases; business rules are tests of their own name."""

from __future__ import annotations

import pytest

from cellwright.io.messages import MarkAuthorised, MarkCompleted, SerialGranted, SerialRefused
from cellwright.mes import audit, master_data, operations, work_orders
from cellwright.mes.errors import MesError
from cellwright.mes.operation_states import OperationState
from cellwright.mes.work_order_states import WorkOrderState

WHO = {"actor": "ann", "reason": "because"}


def act(store, service, *arguments):
    with store.session() as session:
        return service(session, *arguments, **WHO)


def states(store, job_order_id="JOB-1"):
    with store.reading() as session:
        return [
            (view.sequence, view.state, view.done)
            for view in operations.operations(session, job_order_id)
        ]


@pytest.fixture
def prepared(run_order):
    """An order whose part is cleaned by hand, marked, and packed by hand."""
    return run_order(quantity=2, part_number="TB-PREP")


def test_an_operation_starts_only_when_its_predecessor_is_complete(store, prepared):
    with pytest.raises(MesError, match="waits for operation 10") as caught:
        act(store, operations.start_operation, "JOB-1", 20)
    assert caught.value.code == "out_of_sequence"
    act(store, operations.start_operation, "JOB-1", 10)
    with pytest.raises(MesError, match="which is RUNNING"):
        act(store, operations.start_operation, "JOB-1", 20)
    act(store, operations.complete_operation, "JOB-1", 10)
    assert act(store, operations.start_operation, "JOB-1", 20).state is OperationState.RUNNING


def test_no_part_gets_a_serial_before_the_operation_ahead_of_marking_is_complete(
    store, cell, prepared
):
    refused = cell.request("b-1")
    assert isinstance(refused, SerialRefused)
    assert "waits for operation 10 (Clean)" in refused.reason
    act(store, operations.start_operation, "JOB-1", 10)
    act(store, operations.report, "JOB-1", 10, 2)
    act(store, operations.complete_operation, "JOB-1", 10)
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
    act(store, operations.start_operation, "JOB-1", 10)
    act(store, operations.report, "JOB-1", 10, 2)
    cell.mark(cell.request("b-1"))
    cell.mark(cell.request("b-2"))
    assert isinstance(cell.request("b-3"), SerialRefused)
    act(store, operations.start_operation, "JOB-1", 30)
    with pytest.raises(MesError, match="report 1 to 2"):
        act(store, operations.report, "JOB-1", 30, 3)
    act(store, operations.report, "JOB-1", 30, 2)
    assert states(store) == [
        (10, OperationState.RUNNING, 2),
        (20, OperationState.RUNNING, 2),
        (30, OperationState.RUNNING, 2),
    ]


def test_an_order_waits_for_its_manual_operations_before_it_completes(store, cell, prepared):
    act(store, operations.start_operation, "JOB-1", 10)
    act(store, operations.report, "JOB-1", 10, 2)
    act(store, operations.complete_operation, "JOB-1", 10)
    cell.make("b-1")
    cell.make("b-2")
    with store.reading() as session:
        assert work_orders.get(session, "JOB-1").state is WorkOrderState.RUNNING
    act(store, operations.start_operation, "JOB-1", 30)
    act(store, operations.report, "JOB-1", 30, 2)
    act(store, operations.complete_operation, "JOB-1", 30)
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
        act(store, operations.complete_operation, "JOB-1", 20)
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
        act(store, operations.report, "JOB-1", 10, 1)


def test_work_on_an_interrupted_order_is_refused(store, prepared):
    act(store, work_orders.pause, "JOB-1")
    for service, *rest in (
        (operations.start_operation, 10),
        (operations.report, 10, 1),
        (operations.complete_operation, 10),
    ):
        with pytest.raises(MesError, match="its order is HELD") as caught:
            act(store, service, "JOB-1", *rest)
        assert caught.value.code == "invalid_state"


def test_an_unknown_operation_is_refused_with_those_that_exist(store, run_order):
    run_order()
    with pytest.raises(MesError, match="no operation 15; it has 10, 20") as caught:
        act(store, operations.start_operation, "JOB-1", 15)
    assert caught.value.code == "unknown_operation"


def test_reporting_needs_a_started_operation_and_at_least_one_piece(store, prepared):
    with pytest.raises(MesError, match="start it first"):
        act(store, operations.report, "JOB-1", 10, 1)
    act(store, operations.start_operation, "JOB-1", 10)
    for pieces in (0, -1, 3):
        with pytest.raises(MesError, match="report 1 to 2"):
            act(store, operations.report, "JOB-1", 10, pieces)


def test_every_step_of_a_person_is_audited(store, prepared):
    act(store, operations.start_operation, "JOB-1", 10)
    act(store, operations.report, "JOB-1", 10, 1)
    act(store, operations.complete_operation, "JOB-1", 10)
    with store.reading() as session:
        records = session.query(audit.AuditRecord).filter_by(entity_type="operation").all()
        assert [(record.action, record.actor) for record in records] == [
            ("operation.start", "ann"),
            ("operation.report", "ann"),
            ("operation.complete", "ann"),
        ]
        assert records[1].old == '{"done":0}'
        assert records[1].new == '{"done":1,"state":"RUNNING"}'


@pytest.mark.parametrize(("outcome", "done"), [("acknowledged", 1), ("unknown", 1), ("failed", 0)])
def test_a_mark_that_was_certainly_not_made_passes_no_piece_on(
    store, cell, run_order, outcome, done
):
    run_order("MADE")
    granted = cell.request("b-1")
    cell.event(MarkAuthorised, "b-1", serial=granted.serial, content="c", device="d", template="t")
    cell.event(MarkCompleted, "b-1", serial=granted.serial, outcome=outcome)
    with store.reading() as session:
        assert operations.operations(session, "MADE")[0].done == done
