"""JobOrderControl and JobOrderResults: ISA-95's methods as thin adapters to the MES.

The MES decides; its refusals become bits of ReturnStatus while the call itself stays Good, or the
outputs would be lost (OPC 10031-4, B.2).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from asyncua import ua

from cellwright.mes.kernel.errors import MesError
from cellwright.opcua_model.address_space.builder import Builder
from cellwright.opcua_model.address_space.ids import below, cell_id, standard, type_id
from cellwright.opcua_model.isa95 import job_orders
from cellwright.opcua_model.isa95.mes_view import MAX_ORDERS, MOVING, STORING, MesView
from cellwright.opcua_model.isa95.structures import ISA95JobOrderDataType, ISA95JobResponseDataType
from cellwright.opcua_model.isa95.work_orders import WorkOrders
from cellwright.opcua_model.security.access import ANYONE, CHANGE_ORDERS, CREATE_ORDERS, Caller
from cellwright.opcua_model.services import limits
from cellwright.opcua_model.services.methods import Argument, CellMethods, Method, MethodOutcome

_log = structlog.get_logger(__name__)
_T = ua.VariantType

NO_ERROR: Final = 1 << 0
UNKNOWN_ORDER: Final = 1 << 1
INVALID_STATE: Final = 1 << 3
CANNOT_ACCEPT: Final = 1 << 4
INVALID_REQUEST: Final = 1 << 32
"""Bits of ReturnStatus (OPC 10031-4, table 95)."""

BITS: Final[Mapping[str, int]] = {
    "unknown_order": UNKNOWN_ORDER,
    "invalid_state": INVALID_STATE,
    "inspection_open": INVALID_STATE,
    "duplicate": CANNOT_ACCEPT,
    "no_routing": CANNOT_ACCEPT,
    "unknown_part": CANNOT_ACCEPT,
    "invalid_request": INVALID_REQUEST,
}
"""MES error code to bit; every other code is an invalid request, unspecified."""

_COMMENT: Final = Argument(
    "Comment",
    standard(ua.ObjectIds.LocalizedText),
    _T.LocalizedText,
    is_array=True,
    text="Reason, recorded in the audit trail",
)
_RETURN: Final = Argument(
    "ReturnStatus", standard(ua.ObjectIds.UInt64), _T.UInt64, text="Bits of OPC 10031-4, B.2"
)
_JOB_ORDER: Final = Argument(
    "JobOrder",
    type_id("ISA95JobOrderDataType"),
    _T.ExtensionObject,
    structure=ISA95JobOrderDataType,
)
_JOB_ORDER_ID: Final = Argument("JobOrderID", standard(ua.ObjectIds.String), _T.String)


class JobControl:
    """Builds the objects and answers their methods."""

    def __init__(
        self,
        mes: MesView,
        work_orders: WorkOrders,
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._mes = mes
        self._orders = work_orders
        self._refresh = refresh

    def build(self, builder: Builder, methods: CellMethods, cell: str, machine: ua.NodeId) -> None:
        """Add JobManagement below the cell's object."""
        path = f"{cell}.JobManagement"
        management = builder.object(
            machine, cell_id(path), "JobManagement", type_id("JobManagementType")
        )
        control = builder.object(
            management,
            cell_id(f"{path}.JobOrderControl"),
            "JobOrderControl",
            type_id("JobOrderControlType"),
        )
        results = builder.object(
            management,
            cell_id(f"{path}.JobOrderResults"),
            "JobOrderResults",
            type_id("JobOrderResultsType"),
        )
        self._orders.add_lists(control, results, cell)
        builder.variable(
            control,
            cell_id(f"{path}.JobOrderControl.MaxDownloadableJobOrders"),
            "MaxDownloadableJobOrders",
            ua.Variant(MAX_ORDERS, _T.UInt16),
            standard(ua.ObjectIds.UInt16),
            text="Most orders that JobOrderList shows: in work, then waiting, then newest ended",
        )

        def add(owner: ua.NodeId, name: str, method: Method, text: str) -> None:
            node_id = below(owner, name)
            builder.method(
                owner,
                node_id,
                name,
                inputs=[item.description() for item in method.inputs],
                outputs=[item.description() for item in method.outputs],
                text=text,
            )
            methods.methods[node_id] = method

        for verb in STORING:
            add(
                control,
                verb,
                Method(self._storing(verb), (_JOB_ORDER, _COMMENT), (_RETURN,), CREATE_ORDERS),
                "Store a job order" + (" and start it" if verb == "StoreAndStart" else ""),
            )
        for verb in MOVING:
            add(
                control,
                verb,
                Method(self._moving(verb), (_JOB_ORDER_ID, _COMMENT), (_RETURN,), CHANGE_ORDERS),
                f"{verb} a job order",
            )
        response = Argument(
            "JobResponse",
            type_id("ISA95JobResponseDataType"),
            _T.ExtensionObject,
            structure=ISA95JobResponseDataType,
        )
        add(
            results,
            "RequestJobResponseByJobOrderID",
            Method(self._response, (_JOB_ORDER_ID,), (response, _RETURN), ANYONE),
            "What has come of a job order so far",
        )

    def _storing(self, verb: str) -> Callable[[Caller, list[Any]], Awaitable[MethodOutcome]]:
        async def call(caller: Caller, inputs: list[Any]) -> MethodOutcome:
            order, comment = inputs
            try:
                job = job_orders.from_client(order)
            except job_orders.JobOrderError as error:
                _log.warning("job order refused", verb=verb, actor=caller.actor, why=str(error))
                return _status(INVALID_REQUEST)
            reason = _reason(verb, comment)
            return await self._act(
                verb, caller, lambda: self._mes.store_order(verb, job, caller.actor, reason)
            )

        return call

    def _moving(self, verb: str) -> Callable[[Caller, list[Any]], Awaitable[MethodOutcome]]:
        async def call(caller: Caller, inputs: list[Any]) -> MethodOutcome:
            job_order_id, comment = str(inputs[0] or ""), inputs[1]
            reason = _reason(verb, comment)
            return await self._act(
                verb,
                caller,
                lambda: self._mes.move_order(verb, job_order_id, caller.actor, reason),
            )

        return call

    async def _act(
        self, verb: str, caller: Caller, act: Callable[[], Awaitable[Any]]
    ) -> MethodOutcome:
        try:
            await act()
            await self._refresh()
        except MesError as error:
            _log.warning(
                "job order refused", verb=verb, actor=caller.actor, code=error.code, why=str(error)
            )
            return _status(BITS.get(error.code, INVALID_REQUEST))
        except TimeoutError:
            _log.error("no answer from the MES", verb=verb, limit_s=limits.MES_TIMEOUT_S)
            return MethodOutcome(status=ua.StatusCodes.BadTimeout)
        return _status(NO_ERROR)

    async def _response(self, caller: Caller, inputs: list[Any]) -> MethodOutcome:
        job_order_id = str(inputs[0] or "")
        try:
            view, units = self._orders.find(job_order_id) or (
                await self._mes.order(job_order_id),
                (),
            )
            if not units and view.good + view.rejected + view.in_process:
                units = await self._mes.units(view.number)
        except MesError as error:
            if error.code == "unknown_order":
                return _answer(ISA95JobResponseDataType(), UNKNOWN_ORDER)
            _log.warning("a job order cannot be read", why=str(error))
            return MethodOutcome(status=ua.StatusCodes.BadResourceUnavailable)
        except TimeoutError:
            _log.error("no answer from the MES", limit_s=limits.MES_TIMEOUT_S)
            return MethodOutcome(status=ua.StatusCodes.BadTimeout)
        return _answer(job_orders.job_response(view, units), NO_ERROR)


def _answer(response: ISA95JobResponseDataType, bits: int) -> MethodOutcome:
    return MethodOutcome([ua.Variant(response, _T.ExtensionObject), ua.Variant(bits, _T.UInt64)])


def _status(bits: int) -> MethodOutcome:
    return MethodOutcome([ua.Variant(bits, _T.UInt64)])


def _reason(verb: str, comment: list[ua.LocalizedText] | None) -> str:
    text = "; ".join(str(item.Text) for item in comment or [] if item.Text)
    return text[:200] or f"{verb} over OPC UA"
