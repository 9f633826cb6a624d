"""A web process: the MES over HTTP, as one worker of a cell or of a server without a cell.

It may be killed at any time: it holds nothing that the database does not hold. Without a cell it is
started by ``cellwright mes serve``, which writes what it needs to its standard input.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cellwright.io.plan import Plan, WebSettings
from cellwright.runtime.cell import logs
from cellwright.runtime.cell.membership import join
from cellwright.runtime.cell.standalone_web import StandaloneWeb

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellwright.mes.service.background_store import BackgroundStore

LOCKS: Final = Path(f"/tmp/cellwright-ports-{os.getuid()}")
"""Who listens on which port together with others; one place for all cells of a user."""
SECRETS: Final = "keys"
"""Folder in the cell's data folder with the keys of the MES."""
COUNTS: Final = "web-rates"
"""File in the folder of the workers that holds their counts."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until the one who started it asks to stop or is gone."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--run" in arguments:
        return _in_cell(arguments)
    return _standalone(arguments)


def _in_cell(arguments: list[str]) -> int:
    member, parsed = join(arguments, lambda found: f"web:{found.worker}", "--worker")
    plan = member.plan
    if plan.web is None or plan.database is None:
        raise ValueError(f"{plan.source} has no section web or no mes")
    worker = int(parsed.worker) - 1
    _share_metrics(member.folder.path, plan.web.workers)

    from cellwright.mes.service.background_store import BackgroundStore  # noqa: PLC0415
    from cellwright.runtime.diagnosis.metrics import CellCollector  # noqa: PLC0415
    from cellwright.runtime.realtime.grants import leave_core  # noqa: PLC0415

    store = BackgroundStore(plan.database, None, secrets=Path(plan.data) / SECRETS)
    leave_core(plan.scan.core)
    try:
        _serve(
            plan.web, store, worker, member.folder.path, _name(plan),
            secrets=Path(plan.data) / SECRETS,
            collectors=[CellCollector(member.image, member.clock.now_ns)],
            should_stop=member.should_stop, beat=member.beat,
        )  # fmt: skip
    finally:
        store.close()
    return 0


def _standalone(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", type=int, required=True, help="number of this worker, from 1")
    parsed = parser.parse_args(arguments)
    # Not on the command line: the URL of the database may hold a password.
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=StandaloneWeb)
    logs.configure(f"web:{parsed.worker}", None)
    stop, parent = threading.Event(), os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C reaches the whole terminal group; the one who started it ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(spec.folder)
    _share_metrics(folder, spec.web.workers)

    from cellwright.mes.service.background_store import BackgroundStore  # noqa: PLC0415

    store = BackgroundStore(spec.database, None, secrets=Path(spec.secrets))
    try:
        _serve(
            spec.web, store, parsed.worker - 1, folder, spec.folder,
            secrets=Path(spec.secrets), collectors=[],
            should_stop=lambda: stop.is_set() or os.getppid() != parent, beat=lambda: None,
        )  # fmt: skip
    finally:
        store.close()
    return 0


def _serve(
    web: WebSettings,
    store: BackgroundStore,
    worker: int,
    folder: Path,
    name: str,
    *,
    secrets: Path,
    collectors: list[Any],
    should_stop: Callable[[], bool],
    beat: Callable[[], object],
) -> None:
    """Put the application together, and serve it."""
    from cellwright.mes.people.credentials.tokens import tokens_of  # noqa: PLC0415
    from cellwright.mes.people.verification import TokenVerifier  # noqa: PLC0415
    from cellwright.mes.service.catalogue import ACTIONS  # noqa: PLC0415
    from cellwright.mes.service.dispatcher import Dispatcher  # noqa: PLC0415
    from cellwright.mes.service.refused_calls import recorder  # noqa: PLC0415
    from cellwright.web.api.application import Parts, application  # noqa: PLC0415
    from cellwright.web.limits.rates import Rates  # noqa: PLC0415
    from cellwright.web.metrics.figures import MesCollector  # noqa: PLC0415
    from cellwright.web.metrics.http import HttpMetrics  # noqa: PLC0415
    from cellwright.web.metrics.source import StoreFigures  # noqa: PLC0415
    from cellwright.web.server.readiness import readiness  # noqa: PLC0415
    from cellwright.web.server.serving import serve  # noqa: PLC0415
    from cellwright.web.server.settings import ServerSettings, Tls  # noqa: PLC0415

    verifier = TokenVerifier(tokens_of(secrets), store)
    rates = Rates(
        folder / COUNTS,
        worker=worker,
        workers=web.workers,
        user=web.user_rate,
        address=web.address_rate,
        now_ns=time.monotonic_ns,
    )
    parts = Parts(
        actions=ACTIONS,
        dispatcher=Dispatcher(store, on_refusal=recorder(), on_events=verifier.told),
        verifier=verifier,
        rates=rates,
        metrics=HttpMetrics([*collectors, MesCollector(StoreFigures(store))]),
        ready=readiness(store),
        version=version("cellwright"),
        max_body_bytes=web.max_body_bytes,
    )
    tls = Tls(certificate=web.certificate, key=web.key, client_ca=web.client_ca)
    settings = ServerSettings(
        host=web.host,
        port=web.port,
        tls=tls if web.certificate else None,
        worker=worker,
        workers=web.workers,
        server=name,
    )
    try:
        serve(application(parts), settings, locks=LOCKS, should_stop=should_stop, beat=beat)
    finally:
        rates.close()


def _share_metrics(folder: Path, workers: int) -> None:
    """Let the workers' counts be added up; before prometheus_client is imported."""
    if workers == 1:
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    for file in folder.glob("gauge_live*_*.db"):
        # What a worker that was killed had under way is not under way any more.
        if not Path(f"/proc/{file.stem.rpartition('_')[2]}").exists():
            file.unlink(missing_ok=True)


def _name(plan: Plan) -> str:
    return f"{plan.cell} {plan.data}"


if __name__ == "__main__":
    sys.exit(main())
