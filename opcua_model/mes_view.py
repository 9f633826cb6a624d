"""The one door to the MES: its services called in threads, with a time limit, never on the loop.

`job_control` acts through it, `work_orders` shows what it reads. A business rule stands in the
service; here there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cellwright.mes import parts, work_orders
from cellwright.mes.parts import UnitView
from cellwright.mes.work_orders import JobOrder, WorkOrderView
from cellwright.opcua_model import limits
from cellwright.opcua_model.ports import MesStore

T = TypeVar("T")

MAX_ORDERS: Final = 200
"""Newest orders that are published."""
MAX_UNITS: Final = 500
"""Newest parts of an order that are published."""

_BY_ID: Final[Mapping[str, Callable[..., WorkOrderView]]] = {
    "Start": work_orders.start,
    "Pause": work_orders.pause,
    "Resume": work_orders.resume,
    "Stop": work_orders.stop,
    "Abort": work_orders.abort,
    "Cancel": work_orders.cancel,
}
_BY_JOB: Final[Mapping[str, Callable[..., WorkOrderView]]] = {
    "Store": work_orders.store,
    "StoreAndStart": work_orders.store_and_start,
}
STORING: Final = tuple(_BY_JOB)
MOVING: Final = tuple(_BY_ID)


@dataclass(frozen=True, slots=True)
class MesState:
    """The orders in their order of storing, and the parts of each by order number."""

    orders: tuple[WorkOrderView, ...] = ()
    units: Mapping[str, tuple[UnitView, ...]] = field(default_factory=dict)


class MesView:
    """Reads and moves work orders on behalf of the OPC UA server."""

    def __init__(self, store: MesStore) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="opcua-mes")
        self._last = MesState()

    def close(self) -> None:
        """Let the threads go; a call under way ends by the store's own time limits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def store_order(self, verb: str, job: JobOrder, actor: str, reason: str) -> WorkOrderView:
        """`Store` or `StoreAndStart`. Raises MesError, or TimeoutError with the outcome open."""
        service = _BY_JOB[verb]

        def act() -> WorkOrderView:
            with self._store.session() as session:
                return service(session, job, actor=actor, reason=reason)

        return await self._run(act)

    async def move_order(
        self, verb: str, job_order_id: str, actor: str, reason: str
    ) -> WorkOrderView:
        """`Start`, `Pause`, `Resume`, `Stop`, `Abort` or `Cancel`. Raises as `store_order`."""
        service = _BY_ID[verb]

        def act() -> WorkOrderView:
            with self._store.session() as session:
                return service(session, job_order_id, actor=actor, reason=reason)

        return await self._run(act)

    async def read(self) -> MesState:
        """Orders and parts now. Parts are read anew only for orders that changed or run."""
        state = await self._run(self._read)
        self._last = state
        return state

    def _read(self) -> MesState:
        before = {view.number: view for view in self._last.orders}
        with self._store.reading() as session:
            orders = tuple(work_orders.list_orders(session, limit=MAX_ORDERS))
            units = {
                view.number: self._last.units[view.number]
                if before.get(view.number) == view and not view.in_process
                else tuple(parts.units(session, view.number, limit=MAX_UNITS))
                for view in orders
            }
        return MesState(orders, units)

    async def _run(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limits.MES_TIMEOUT_S):
            return await loop.run_in_executor(self._pool, call)
