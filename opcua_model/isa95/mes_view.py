"""The one door to the MES: its services called in threads, with a time limit, never on the loop.

`job_control` acts through it, `work_orders` shows what it reads. A business rule stands in the
service; here there is none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from cellwright.mes.kernel.actions import Action, Request
from cellwright.mes.kernel.actions import Caller as MesCaller
from cellwright.mes.kernel.store import Store
from cellwright.mes.orders import work_orders
from cellwright.mes.orders.work_orders import JobOrder, WorkOrderView
from cellwright.mes.service.background_store import BackgroundStore
from cellwright.mes.service.dispatcher import Dispatcher
from cellwright.mes.service.refused_calls import recorder
from cellwright.mes.shopfloor import parts
from cellwright.mes.shopfloor.parts import UnitView
from cellwright.opcua_model.services import limits

T = TypeVar("T")

MesStore: TypeAlias = Store | BackgroundStore

MAX_ORDERS: Final = 200
"""Orders that are published: those in work, then those that wait, then the newest ended ones."""
MAX_UNITS: Final = 500
"""Newest parts of an order that are published."""
MAX_UNITS_OF_ALL: Final = 1000
"""Parts of all orders together that are published; bounds the gateway's memory."""

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
    """The orders in their order of storing, and the parts of those that show theirs, by number."""

    orders: tuple[WorkOrderView, ...] = ()
    units: Mapping[str, tuple[UnitView, ...]] = field(default_factory=dict)


class MesView:
    """Reads and moves work orders on behalf of the OPC UA server."""

    def __init__(self, store: MesStore) -> None:
        self._store = store
        self._dispatcher = Dispatcher(store, on_refusal=recorder())
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

    async def act(
        self, action: Action[Any, Any], request: Request, caller: Mapping[str, Any]
    ) -> Any:
        """The answer of an action; ``caller`` are the fields of the MES's `Caller`.

        Raises MesError, or TimeoutError with the outcome open.
        """
        return await self._run(
            lambda: self._dispatcher.call(action, request, MesCaller(**caller)).answer
        )

    async def order(self, job_order_id: str) -> WorkOrderView:
        """An order from the database: also one that `read` leaves out. Raises MesError
        ``unknown_order`` and as `units`."""

        def read() -> WorkOrderView:
            with self._store.reading() as session:
                return work_orders.get(session, job_order_id)

        return await self._run(read)

    async def units(self, number: str) -> tuple[UnitView, ...]:
        """The newest parts of an order, by its number, from the database: also of an order whose
        parts `read` leaves out. Raises MesError or TimeoutError."""

        def read() -> tuple[UnitView, ...]:
            with self._store.reading() as session:
                return tuple(parts.units(session, number, limit=MAX_UNITS))

        return await self._run(read)

    async def read(self) -> MesState:
        """Orders and parts now, at most `MAX_UNITS` of an order and `MAX_UNITS_OF_ALL` together.

        Parts are read anew only for orders that changed or have parts in process.
        """
        state = await self._run(self._read)
        self._last = state
        return state

    def _read(self) -> MesState:
        before = {view.number: view for view in self._last.orders}
        with self._store.reading() as session:
            orders = tuple(work_orders.list_orders(session, limit=MAX_ORDERS))
            units: dict[str, tuple[UnitView, ...]] = {}
            for view in _with_parts(orders):
                known = self._last.units.get(view.number)
                if known is None or before.get(view.number) != view or view.in_process:
                    known = tuple(parts.units(session, view.number, limit=MAX_UNITS))
                units[view.number] = known
        return MesState(orders, units)

    async def _run(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(limits.MES_TIMEOUT_S):
            return await loop.run_in_executor(self._pool, call)


def _with_parts(orders: Sequence[WorkOrderView]) -> list[WorkOrderView]:
    """The orders whose parts are shown: those under way, then the newest, as long as they fit.

    An order shows its window of parts or none, so that one that has ended is not read and
    written anew each time another one moves on.
    """
    newest = orders[::-1]
    chosen, left = [], MAX_UNITS_OF_ALL
    for view in sorted(newest, key=lambda view: view.ended_utc is not None):
        count = min(MAX_UNITS, int(view.good + view.rejected + view.in_process))
        if count > left:
            break
        if count:
            chosen.append(view)
            left -= count
    return chosen
