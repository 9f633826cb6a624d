"""Servers for the REST benchmark, as processes of their own: the MES, and a bare constant.

``python -m support.rest_bench mes|bare PORT WORKER WORKERS FOLDER`` serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import structlog


def main(words: list[str]) -> None:
    """Serve one of the two."""
    kind, port, worker, workers, folder = words
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    place = (int(port), int(worker), int(workers), Path(folder))
    (_mes if kind == "mes" else _bare)(stop, *place)


def prepare(folder: Path) -> None:
    """A database with a part, its routing of five steps, and twenty orders of it."""
    from cellwright.mes.definitions.actions import (  # noqa: PLC0415
        CreatePart,
        CreateRouting,
        RoutingStep,
    )
    from cellwright.mes.orders.actions import CreateOrder  # noqa: PLC0415
    from cellwright.mes.service.catalogue import ACTIONS, open_store  # noqa: PLC0415
    from cellwright.mes.service.dispatcher import Dispatcher  # noqa: PLC0415
    from support.notes import ANYBODY  # noqa: PLC0415

    store = open_store(f"sqlite:///{folder / 'mes.db'}", secrets=folder)
    dispatcher = Dispatcher(store)
    steps = [RoutingStep(operation_number=10 * n, operation_name=f"Step {n}") for n in range(1, 6)]
    dispatcher.call(ACTIONS["parts.create"], CreatePart(part_number="TB-1"), ANYBODY)
    routing = CreateRouting(part_number="TB-1", operations=steps)
    dispatcher.call(ACTIONS["routings.create"], routing, ANYBODY)
    order = CreateOrder(part_number="TB-1", quantity=Decimal(10))
    for _ in range(20):
        dispatcher.call(ACTIONS["workorders.create"], order, ANYBODY)
    store.close()


def _mes(stop: threading.Event, port: int, worker: int, workers: int, folder: Path) -> None:
    from cellwright.mes.service.catalogue import ACTIONS, open_store  # noqa: PLC0415
    from cellwright.web.api.application import application  # noqa: PLC0415
    from cellwright.web.limits.rates import Rates  # noqa: PLC0415
    from cellwright.web.server.serving import serve  # noqa: PLC0415
    from cellwright.web.server.settings import ServerSettings  # noqa: PLC0415
    from support.notes import Everybody, Notes, parts_of  # noqa: PLC0415

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    store = open_store(f"sqlite:///{folder / 'mes.db'}", secrets=folder)
    rates = Rates(folder / "rates", worker=worker, workers=workers, user=10**6, address=10**6,
                  now_ns=time.monotonic_ns)  # fmt: skip
    settings = ServerSettings(host="127.0.0.1", port=port, worker=worker, workers=workers,
                              server=str(folder))  # fmt: skip
    parts = parts_of(Notes(), store, rates=rates, actions=ACTIONS, verifier=Everybody())
    serve(application(parts), settings, locks=folder, should_stop=stop.is_set, beat=lambda: None)
    store.close()


def _bare(stop: threading.Event, port: int, _worker: int, workers: int, _folder: Path) -> None:
    import uvicorn  # noqa: PLC0415
    import uvloop  # noqa: PLC0415
    from litestar import Litestar, get, post  # noqa: PLC0415

    @get("/api/v1/workorders/{name:str}")
    async def one(name: str) -> dict[str, str]:
        return {"id": name}

    @get("/api/v1/workorders")
    async def many() -> list[dict[str, str]]:
        return []

    @post("/api/v1/workorders")
    async def make() -> dict[str, str]:
        return {"id": "N"}

    @get("/ready")
    async def ready() -> dict[str, str]:
        return {}

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if workers > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    server = uvicorn.Server(
        uvicorn.Config(
            Litestar([one, many, make, ready], openapi_config=None, logging_config=None),
            http="httptools",
            loop="none",
            ws="none",
            log_config=None,
            access_log=False,
        )
    )
    threading.Thread(target=lambda: (stop.wait(), os._exit(0)), daemon=True).start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server._serve([listener]))


if __name__ == "__main__":
    main(sys.argv[1:])
