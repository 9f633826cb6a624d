"""What may be asked of the orders; the rules are in the services."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from msgspec import UNSET, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from cellwright.mes.audit import changes
from cellwright.mes.definitions.tables import PartDefinition
from cellwright.mes.kernel import paging, quantity
from cellwright.mes.kernel.actions import (
    Action,
    Closed,
    Command,
    Context,
    Nothing,
    OpcUa,
    Page,
    Rest,
)
from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.orders import creation, events, operations, order_flow, steering
from cellwright.mes.orders.cost import cost
from cellwright.mes.orders.documents import (
    HELD,
    NUMBERS,
    OperationDocument,
    OrderDocument,
    operation_document,
    order_document,
)
from cellwright.mes.orders.job_order import MAX_QUANTITY, JobOrder
from cellwright.mes.orders.requests import (
    ActOnOrder,
    CompleteOperation,
    CostView,
    CreateOrder,
    GetOrder,
    ListOrders,
    StartOperation,
    UpdateOrder,
)
from cellwright.mes.orders.tables import Operation, WorkOrder
from cellwright.mes.orders.work_order_states import ENDED, WorkOrderEvent, WorkOrderState

SUPERVISING: Final = frozenset({"Administrator", "Production Supervisor"})
"""Roles that may let orders go on which an engineering change holds."""


def _create(context: Context, request: CreateOrder) -> OrderDocument:
    job = JobOrder(
        job_order_id=request.job_order_id,
        part_number=request.part_number,
        revision=request.revision,
        quantity=request.quantity,
        priority=NUMBERS[request.priority],
        description=request.description,
        customer_order=request.customer_order,
        target_date=request.target_date,
        parameters=request.parameters,
    )
    order = creation.create(context.session, job, actor=context.actor, reason=context.reason)
    return order_document(order)


def _locked(context: Context, number: str) -> WorkOrder:
    """The order, locked, in the version that the caller has seen."""
    order = order_flow.find_number(context.session, number, lock=True)
    context.check_version(f"work order {number}", order.version)
    return order


def _get(context: Context, request: GetOrder) -> OrderDocument:
    return order_document(order_flow.find_number(context.session, request.id, lock=False))


def _list(context: Context, request: ListOrders) -> Page[OrderDocument]:
    statement = (
        select(WorkOrder)
        .options(joinedload(WorkOrder.part_definition), selectinload(WorkOrder.operations))
        .order_by(WorkOrder.id)
    )
    if request.status is not None:
        known = {state.capitalize(): state for state in WorkOrderState}
        wanted = request.status.capitalize()
        if wanted not in known:
            message = f"{request.status!r:.40} is none; give one of {', '.join(known)}"
            raise MesError("invalid_request", f"status: {message}", [Detail("status", message)])
        held = WorkOrder.held_by != ""
        if wanted == HELD:
            statement = statement.where(held | (WorkOrder.state == known[wanted]))
        else:
            statement = statement.where(~held, WorkOrder.state == known[wanted])
    if request.part_number is not None:
        part = WorkOrder.part_definition.has(PartDefinition.part_number == request.part_number)
        statement = statement.where(part)
    rows, total = paging.page_of(context.session, statement, request)
    return Page(items=[order_document(row) for row in rows], total=total)


def _update(context: Context, request: UpdateOrder) -> OrderDocument:
    order = _locked(context, request.id)
    if order.state in ENDED:
        raise MesError(
            "invalid_state", f"cannot change work order {order.number}: it is {order.state}"
        )
    new_quantity = _new_quantity(order, request.quantity)
    entry = order_flow.entry(order, "update", actor=context.actor, reason=context.reason)
    with changes.changing(context.session, order, entry, at=context.at):
        order.quantity = new_quantity
        if request.priority is not UNSET:
            order.priority = NUMBERS[request.priority]
        if request.target_date is not UNSET:
            order.target_date = request.target_date
        if request.customer_order is not UNSET:
            order.customer_order = request.customer_order
        if request.description is not UNSET:
            order.description = request.description
    return order_document(order)


def _new_quantity(order: WorkOrder, wanted: Decimal | UnsetType) -> Decimal:
    if wanted is UNSET:
        return order.quantity
    number = quantity.amount(wanted, order.unit)
    begun = order_flow.consumed(order)
    complaint = ""
    if not 0 < number <= MAX_QUANTITY:
        complaint = f"must be above 0, at most {MAX_QUANTITY}"
    elif number < begun:
        complaint = f"must be at least {quantity.text(begun)}: so many were begun already"
    if complaint:
        raise MesError("invalid_request", f"quantity: {complaint}", [Detail("quantity", complaint)])
    return number


def _acting(event: WorkOrderEvent) -> Callable[[Context, ActOnOrder], OrderDocument]:
    def run(context: Context, request: ActOnOrder) -> OrderDocument:
        order = _locked(context, request.id)
        steering.act(context.session, order, event, actor=context.actor, reason=context.reason)
        return order_document(order)

    return run


def _hold(context: Context, request: ActOnOrder) -> OrderDocument:
    order = _locked(context, request.id)
    steering.hold(context.session, order, actor=context.actor, reason=context.reason)
    context.session.flush()
    return order_document(order)


def _resume(context: Context, request: ActOnOrder) -> OrderDocument:
    order = _locked(context, request.id)
    steering.resume(
        context.session,
        order,
        actor=context.actor,
        reason=context.reason,
        supervises=not SUPERVISING.isdisjoint(context.caller.roles),
    )
    return order_document(order)


def _start(context: Context, request: ActOnOrder) -> OrderDocument:
    order = _locked(context, request.id)
    steering.start(context.session, order, actor=context.actor, reason=context.reason)
    return order_document(order)


def _delete(context: Context, request: ActOnOrder) -> Nothing:
    order = _locked(context, request.id)
    steering.act(
        context.session,
        order,
        WorkOrderEvent.CANCEL,
        actor=context.actor,
        reason=context.reason or "deleted by its planner",
    )
    return Nothing()


def _operation(context: Context, number: str, op_id: str) -> Operation:
    order = order_flow.find_number(context.session, number, lock=True)
    if not op_id.isascii() or not op_id.isdigit() or len(op_id) > 9:
        raise MesError("unknown_operation", f"work order {number} has no operation {op_id!r:.40}")
    operation = operations.find(context.session, order, int(op_id))
    context.check_version(f"operation {number}/{op_id}", operation.version)
    return operation


def _start_operation(context: Context, request: StartOperation) -> OperationDocument:
    operation = _operation(context, request.id, request.op_id)
    operations.start(
        context.session,
        operation,
        actor=context.actor,
        reason=context.reason,
        person=request.operator_id or "",
        equipment=request.equipment_id or "",
    )
    return operation_document(operation)


def _complete_operation(context: Context, request: CompleteOperation) -> OperationDocument:
    operation = _operation(context, request.id, request.op_id)
    done = operations.Report(
        good=request.quantity_good, scrap=request.quantity_scrap, rework=request.quantity_rework
    )
    operations.report(
        context.session,
        operation,
        done,
        final=request.final,
        actor=context.actor,
        reason=context.reason,
    )
    return operation_document(operation)


def _cost(context: Context, request: GetOrder) -> CostView:
    order = order_flow.find_number(context.session, request.id, lock=False)
    found = cost(context.session, order)
    return CostView(
        id=order.number,
        labour=found.labour.value,
        material=found.material.value,
        overhead=found.overhead.value,
        total=found.total.value,
        currency=found.total.currency,
    )


def _id(request: Any) -> str:
    return str(request.id)


def _operation_id(request: Any) -> str:
    return f"{request.id}/{request.op_id}"


_LOOK: Final = Closed("the variables of MES/WorkOrders show it")
_ORDER: Final = "/api/v1/workorders/{id}"
_OPERATION: Final = f"{_ORDER}/operations/{{opId}}"


def _verb(
    verb: str,
    summary: str,
    run: Callable[[Context, ActOnOrder], OrderDocument],
    *told: type[events.OrderEvent],
) -> Action[ActOnOrder, OrderDocument]:
    """An action on an order that needs nothing but its number."""
    return Action(
        name=f"workorders.{verb}",
        summary=summary,
        request=ActOnOrder,
        answer=OrderDocument,
        permission="workorders.update",
        entity="work_order",
        run=run,
        events=told,
        rest=Rest("POST", f"{_ORDER}/{verb}"),
        opcua=OpcUa("WorkOrderControl", verb.capitalize()),
        command=Command("workorder", verb, ("id",)),
        entity_id=_id,
    )


ACTIONS: Final[tuple[Action[Any, Any], ...]] = (
    Action(
        name="workorders.create",
        summary="Create a work order; it waits until it is released.",
        request=CreateOrder,
        answer=OrderDocument,
        permission="workorders.create",
        entity="work_order",
        run=_create,
        events=(events.OrderCreated,),
        rest=Rest("POST", "/api/v1/workorders", 201),
        opcua=Closed("Store and StoreAndStart of JobOrderControl take ISA-95's job orders"),
        command=Command("workorder", "create", ("part_number", "quantity")),
    ),
    Action(
        name="workorders.list",
        summary="List work orders, oldest first.",
        request=ListOrders,
        answer=Page[OrderDocument],
        permission="workorders.read",
        entity="work_order",
        run=_list,
        reads=True,
        rest=Rest("GET", "/api/v1/workorders"),
        opcua=_LOOK,
        command=Closed("`cellwright mes orders` lists them"),
    ),
    Action(
        name="workorders.get",
        summary="Read a work order with its operations.",
        request=GetOrder,
        answer=OrderDocument,
        permission="workorders.read",
        entity="work_order",
        run=_get,
        reads=True,
        rest=Rest("GET", _ORDER),
        opcua=_LOOK,
        command=Command("workorder", "show", ("id",)),
        entity_id=_id,
    ),
    Action(
        name="workorders.update",
        summary="Change priority, dates, texts or quantity of a work order that has not ended.",
        request=UpdateOrder,
        answer=OrderDocument,
        permission="workorders.update",
        entity="work_order",
        run=_update,
        rest=Rest("PUT", _ORDER),
        opcua=OpcUa("WorkOrderControl", "Update"),
        command=Command("workorder", "update", ("id",)),
        entity_id=_id,
    ),
    Action(
        name="workorders.delete",
        summary="Take back a work order of which nothing was begun; it stays, as Cancelled.",
        request=ActOnOrder,
        answer=Nothing,
        permission="workorders.delete",
        entity="work_order",
        run=_delete,
        events=(events.OrderCancelled,),
        rest=Rest("DELETE", _ORDER, 204),
        opcua=Closed("Cancel of the order does the same"),
        command=Closed("`cellwright mes workorder cancel` does the same"),
        entity_id=_id,
    ),
    _verb(
        "release",
        "Release a work order to production; its part must have a routing.",
        _acting(WorkOrderEvent.RELEASE),
        events.OrderReleased,
    ),
    _verb("start", "Start a released work order.", _start, events.OrderStarted),
    _verb("hold", "Hold a work order: nothing of it starts or completes.", _hold, events.OrderHeld),
    _verb("resume", "Let a held work order go on.", _resume, events.OrderResumed),
    _verb(
        "cancel",
        "Take back a work order of which nothing was begun.",
        _acting(WorkOrderEvent.CANCEL),
        events.OrderCancelled,
    ),
    _verb(
        "abort",
        "End a work order that has begun, without completing it.",
        _acting(WorkOrderEvent.ABORT),
        events.OrderCancelled,
    ),
    _verb(
        "stop",
        "Complete a work order early: what is not made yet is not made.",
        _acting(WorkOrderEvent.STOP),
        events.OrderCompleted,
    ),
    _verb(
        "complete",
        "Complete a work order whose operations are done.",
        _acting(WorkOrderEvent.COMPLETE),
        events.OrderCompleted,
    ),
    _verb("close", "Close a completed work order.", _acting(WorkOrderEvent.CLOSE)),
    Action(
        name="workorders.startOperation",
        summary="Start an operation; the first one starts its order.",
        request=StartOperation,
        answer=OperationDocument,
        permission="workorders.update",
        entity="operation",
        run=_start_operation,
        events=(events.OperationStarted, events.OrderStarted),
        rest=Rest("POST", f"{_OPERATION}/start"),
        opcua=OpcUa("WorkOrderControl", "StartOperation"),
        command=Command("operation", "start", ("id", "op_id")),
        entity_id=_operation_id,
    ),
    Action(
        name="workorders.completeOperation",
        summary="Report pieces of an operation and, if final, complete it.",
        request=CompleteOperation,
        answer=OperationDocument,
        permission="workorders.update",
        entity="operation",
        run=_complete_operation,
        events=(events.OperationCompleted, events.OrderCompleted),
        rest=Rest("POST", f"{_OPERATION}/complete"),
        opcua=OpcUa("WorkOrderControl", "CompleteOperation"),
        command=Command("operation", "complete", ("id", "op_id", "quantity_good")),
        entity_id=_operation_id,
    ),
    Action(
        name="workorders.cost",
        summary="Read what a work order has cost so far.",
        request=GetOrder,
        answer=CostView,
        permission="workorders.read",
        entity="work_order",
        run=_cost,
        reads=True,
        rest=Rest("GET", f"{_ORDER}/cost"),
        opcua=Closed("costs are no matter of the shop floor"),
        command=Command("workorder", "cost", ("id",)),
        entity_id=_id,
    ),
)
"""What REST, OPC UA and the command line offer of this room."""
