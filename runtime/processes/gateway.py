"""The gateway process: the information world. OPC UA server and MES beside each other.

It may be killed at any time: it holds nothing that the journal, the image or the database does
not hold too.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from cellwright.io.image.command_client import CommandClient
from cellwright.io.log_once import LogOnce
from cellwright.opcua_model.server import CellServer
from cellwright.opcua_model.services.command_sender import CommandSender
from cellwright.runtime.cell.membership import Membership, join
from cellwright.runtime.diagnosis.metrics import CellCollector, MetricsServer, metrics_app
from cellwright.runtime.realtime.grants import leave_core

if TYPE_CHECKING:
    from cellwright.mes.service.background_store import BackgroundStore

PUBLISH_INTERVAL_S = 0.05
STOP_CHECK_S = 0.05
LISTEN_RETRY_S = 2.0


def main(arguments: list[str] | None = None) -> int:
    """Serve until the supervisor asks to stop or is gone."""
    member, _ = join(arguments, lambda _: "gateway")
    plan = member.plan
    store = feed = history = job = None
    if plan.database is not None:
        # They bring what a database takes, and a cell without MES has none.
        from cellwright.mes.service.background_store import BackgroundStore  # noqa: PLC0415
        from cellwright.mes.service.retention_job import RetentionJob  # noqa: PLC0415
        from cellwright.mes.shopfloor.feed import MesFeed  # noqa: PLC0415

        master_data = Path(plan.master_data) if plan.master_data else None
        store = BackgroundStore(plan.database, master_data, secrets=Path(plan.data) / "keys")
        feed = MesFeed(Path(plan.data), store, CommandClient(member.image), cell=plan.cell)
        feed.start()
        job = RetentionJob(store)
        job.start()
        if plan.history is not None:
            from cellwright.runtime.recorder.history.feed import HistoryFeed  # noqa: PLC0415

            reader = member.image.snapshot_reader()
            history = HistoryFeed(plan, reader, store, member.clock.utc_ns)
            history.start()
    try:
        asyncio.run(_serve(member, store))
    finally:
        for worker in (history, job):
            if worker is not None:
                worker.stop()
        if feed is not None:
            feed.stop()
        if store is not None:
            store.close()
    return 0


async def _serve(member: Membership, store: BackgroundStore | None) -> None:
    stop = asyncio.Event()
    serving: asyncio.Task[None] | None = None
    server: CellServer | None = None
    # Before the server, which waits for as long as another program has its port.
    metrics = _serve_metrics(member)
    try:
        if member.plan.opcua is not None:
            server = await _listen(member, store)
        if server is not None:
            structlog.get_logger(__name__).info("OPC UA server listens", endpoint=server.endpoint)
            serving = asyncio.create_task(server.run(stop, PUBLISH_INTERVAL_S))
        leave_core(member.plan.scan.core)
        while not member.should_stop() and not (serving is not None and serving.done()):
            await _live(member, store)
    finally:
        member.image.gateway.database_ok = False
        stop.set()
        if metrics is not None:
            metrics.close()
        if serving is not None:
            await serving
        if server is not None:
            await server.stop()


async def _listen(member: Membership, store: BackgroundStore | None) -> CellServer | None:
    """The started server; waited for while its port is taken, for the MES needs this process."""
    log = LogOnce(structlog.get_logger(__name__))
    while not member.should_stop():
        server = CellServer(
            member.image,
            CommandSender(CommandClient(member.image)),
            store,
            pki=Path(member.plan.data) / "pki",
            clock=member.clock,
        )
        try:
            await server.start()
        except OSError as error:
            if log.trouble(
                "port",
                "OPC UA server cannot listen and tries again; free the port or change "
                "opcua.endpoint",
                error=str(error),
            ):
                leave_core(member.plan.scan.core)
        else:
            # The address space lives as long as the process: no collection walks it any more.
            gc.collect()
            gc.freeze()
            return server
        deadline = time.monotonic() + LISTEN_RETRY_S
        while time.monotonic() < deadline and not member.should_stop():
            await _live(member, store)
    return None


async def _live(member: Membership, store: BackgroundStore | None) -> None:
    """A sign of life, and a pause."""
    member.beat()
    member.image.gateway.database_ok = store is not None and store.answers
    await asyncio.sleep(STOP_CHECK_S)


def _serve_metrics(member: Membership) -> MetricsServer | None:
    """The page for Prometheus, where the cell's file asks for it."""
    settings = member.plan.metrics
    if settings is None:
        return None
    collector = CellCollector(member.image, member.clock.now_ns)
    return MetricsServer(settings.host, settings.port, metrics_app(collector))


if __name__ == "__main__":
    sys.exit(main())
