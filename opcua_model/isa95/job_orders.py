"""Job orders in OPC UA's words: from a client's structure to the MES's job order, and back.

Pure functions, called by `job_control` and `work_orders`. What a field means here is documented in
``docs/reference/opcua_model.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from asyncua import ua

from cellwright.mes.orders.work_orders import MAX_QUANTITY, JobOrder, WorkOrderState, WorkOrderView
from cellwright.mes.shopfloor.parts import UnitView
from cellwright.opcua_model.address_space.ids import TYPES, standard
from cellwright.opcua_model.address_space.values import NO_TIME, date_time
from cellwright.opcua_model.isa95.structures import (
    ISA95JobOrderAndStateDataType,
    ISA95JobOrderDataType,
    ISA95JobResponseDataType,
    ISA95MaterialDataType,
    ISA95ParameterDataType,
    ISA95PropertyDataType,
    ISA95StateDataType,
    ISA95WorkMasterDataType,
)

PRODUCED: Final = "Produced"
"""MaterialUse of what an order makes (B2MML 7.0.1)."""
REVISION: Final = "Revision"
QUANTITY: Final = "Quantity"
_QUANTITY_DIGITS: Final = 10
"""More than any quantity has; the MES names its own limit for those that are shorter."""

STATES: Final[Mapping[WorkOrderState, tuple[tuple[str, int], ...]]] = {
    WorkOrderState.CREATED: (("NotAllowedToStart", 1), ("Waiting", 1)),
    WorkOrderState.RELEASED: (("NotAllowedToStart", 1), ("Ready", 2)),
    WorkOrderState.READY: (("AllowedToStart", 2), ("Ready", 2)),
    WorkOrderState.RUNNING: (("Running", 3),),
    WorkOrderState.HELD: (("Interrupted", 4), ("Held", 1)),
    WorkOrderState.SUSPENDED: (("Interrupted", 4), ("Suspended", 2)),
    WorkOrderState.COMPLETED: (("Ended", 5), ("Completed", 1)),
    WorkOrderState.CLOSED: (("Ended", 5), ("Closed", 2)),
    WorkOrderState.ABORTED: (("Aborted", 6),),
    WorkOrderState.CANCELLED: (("Aborted", 6),),
}
"""State and sub-state of the job order state machine (OPC 10031-4) for each MES state."""


class JobOrderError(ValueError):
    """The structure does not say what the MES needs; the sentence says what is missing."""


def from_client(order: ISA95JobOrderDataType) -> JobOrder:
    """The MES's job order. Raises JobOrderError.

    The part number is the ID of the one WorkMaster, the revision its parameter ``Revision`` (or
    the order's), the quantity that of the material with use ``Produced`` or else the parameter
    ``Quantity``. Further parameters go to the MES as they are.
    """
    masters = order.WorkMasterID or []
    if not order.JobOrderID:
        raise JobOrderError("JobOrderID is empty; give the order an id")
    if len(masters) != 1 or not masters[0].ID:
        raise JobOrderError("WorkMasterID must hold exactly one entry, whose ID is the part number")
    parameters = _parameters([*(masters[0].Parameters or []), *(order.JobOrderParameters or [])])
    revision = parameters.pop(REVISION, None)
    text = parameters.pop(QUANTITY, None)
    produced = [item for item in order.MaterialRequirements or [] if item.MaterialUse == PRODUCED]
    if produced:
        text = produced[0].Quantity
    return JobOrder(
        job_order_id=str(order.JobOrderID),
        part_number=str(masters[0].ID),
        revision=revision,
        quantity=_quantity(text),
        priority=int(order.Priority or 0),
        description=_text(order.Description),
        start_utc=_moment(order.StartTime),
        end_utc=_moment(order.EndTime),
        parameters=parameters,
    )


def _parameters(entries: Sequence[ISA95ParameterDataType]) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        value = entry.Value.Value
        if not entry.ID or isinstance(value, list | bytes | None):
            raise JobOrderError(f"parameter '{entry.ID}' must have an ID and one plain value")
        if entry.ID in found:
            raise JobOrderError(f"parameter '{entry.ID}' is given twice")
        found[str(entry.ID)] = str(value)
    return found


def _quantity(text: str | None) -> int:
    try:
        number = Decimal(text or "")
    except InvalidOperation as error:
        raise JobOrderError(
            f"the quantity '{text or ''}' is not a number; give it as the Quantity of the material "
            f"with MaterialUse {PRODUCED}, or as parameter {QUANTITY}"
        ) from error
    # A few letters can spell a number that takes hours to write out: the size is looked at first.
    if not number.is_finite() or number.adjusted() >= _QUANTITY_DIGITS:
        raise JobOrderError(
            f"the quantity {text!s:.40} is not a number of parts; give 1 to {MAX_QUANTITY}"
        )
    if number != number.to_integral_value():
        raise JobOrderError(f"the quantity {text} is not a whole number")
    return int(number)


def _moment(stamp: datetime | None) -> datetime | None:
    """The ends of the calendar stand for a time that is not given (OPC 10000-6, 5.2.2.5)."""
    if stamp is None or stamp <= NO_TIME or stamp.year == MAXYEAR:
        return None
    return stamp


def _text(texts: Sequence[ua.LocalizedText] | None) -> str:
    return next((str(text.Text) for text in texts or [] if text.Text), "")


def state(view: WorkOrderView) -> list[ISA95StateDataType]:
    """The order's state, main state first."""
    path: list[Any] = []
    no: Any = False
    yes: Any = True
    result = []
    for name, number in STATES[view.state]:
        path.append(
            ua.RelativePathElement(
                standard(ua.ObjectIds.HasComponent),
                IsInverse=no,
                IncludeSubtypes=yes,
                TargetName=ua.QualifiedName(name, TYPES),
            )
        )
        result.append(
            ISA95StateDataType(
                BrowsePath=ua.RelativePath(list(path)),
                StateText=ua.LocalizedText(name),
                StateNumber=ua.UInt32(number),
            )
        )
    return result


def job_order(view: WorkOrderView) -> ISA95JobOrderAndStateDataType:
    """An element of JobOrderList."""
    order = ISA95JobOrderDataType(
        JobOrderID=ua.String(view.job_order_id),
        Description=[ua.LocalizedText(view.description)],
        WorkMasterID=[
            ISA95WorkMasterDataType(
                ID=ua.String(view.part_number),
                Parameters=[_parameter(REVISION, ua.Variant(view.revision))],
            )
        ],
        Priority=ua.Int16(view.priority),
        JobOrderParameters=[_parameter("WorkOrder", ua.Variant(view.number))],
        MaterialRequirements=[_produced(view, view.quantity)],
    )
    return ISA95JobOrderAndStateDataType(JobOrder=order, State=state(view))


def job_response(view: WorkOrderView, units: Sequence[UnitView]) -> ISA95JobResponseDataType:
    """What has come of an order so far: counts, and one material actual for each part."""
    return ISA95JobResponseDataType(
        JobResponseID=ua.String(view.number),
        Description=ua.LocalizedText(view.description),
        JobOrderID=ua.String(view.job_order_id),
        StartTime=date_time(view.started_utc),
        EndTime=date_time(view.ended_utc),
        JobState=state(view),
        JobResponseData=[
            _parameter("Good", ua.Variant(view.good, ua.VariantType.UInt32)),
            _parameter("Rejected", ua.Variant(view.rejected, ua.VariantType.UInt32)),
            _parameter("InProcess", ua.Variant(view.in_process, ua.VariantType.UInt32)),
        ],
        MaterialActuals=[_produced(view, 1, unit) for unit in units],
    )


def _produced(
    view: WorkOrderView, quantity: int | Decimal, unit: UnitView | None = None
) -> ISA95MaterialDataType:
    material = ISA95MaterialDataType(
        MaterialDefinitionID=ua.String(view.part_number),
        MaterialUse=ua.String(PRODUCED),
        Quantity=ua.String(str(quantity)),
    )
    if unit is not None:
        material.MaterialSublotID = ua.String(unit.serial)
        material.Properties = [
            ISA95PropertyDataType(ID=ua.String(name), Value=ua.Variant(value))
            for name, value in (
                ("PartID", unit.part_id),
                ("Verdict", verdict(unit)),
                ("Reason", unit.reason),
            )
        ]
    return material


def verdict(unit: UnitView) -> str:
    """The part's verdict in words; ``in_process`` while it is in the cell."""
    return str(unit.verdict) if unit.verdict is not None else "in_process"


def _parameter(name: str, value: ua.Variant) -> ISA95ParameterDataType:
    return ISA95ParameterDataType(ID=ua.String(name), Value=value)
