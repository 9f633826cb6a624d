"""The OPC UA server in a process of its own, to be attacked.

``python opcua_target.py FOLDER`` prints its port when clients may come. On a line at its standard
input, the port of a client that is to have no harm, it prints as JSON what came of the attacks, and
ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import argon2
import structlog
from structlog.testing import LogCapture

from cellwright.io.timing.clock import MonotonicClock
from cellwright.opcua_model.security.users import add_user
from cellwright.opcua_model.server import CellServer
from support.opcua_support import FakeScan, ImageBench, cell_plan

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
USER, PASSWORD = "op", "operator-1"
UNHANDLED = "Error while processing message"
"""What the library logs of an exception that no service expected."""


class _Unhandled(logging.Handler):
    """Keeps the different exceptions, and how often each came."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            error, trace = record.exc_info[1], record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
            text = f"{record.msg[:40]} {type(error).__name__} {where}"
            self.found[text] = self.found.get(text, 0) + 1


async def serve(folder: Path) -> None:
    add_user(folder / "users.yaml", USER, PASSWORD, ["Operator"], hasher=CHEAP)
    plan = cell_plan(folder, anonymous="read", insecure=True)
    bench = ImageBench(plan)
    scan = FakeScan(bench)
    server = CellServer(bench.image, scan, None, pki=folder / "pki", clock=MonotonicClock())
    capture, unhandled = LogCapture(), _Unhandled()
    structlog.configure(processors=[capture])
    library = logging.getLogger("asyncua")
    library.setLevel(logging.ERROR)
    library.propagate = False
    library.addHandler(unhandled)
    await server.start()
    print(server.port, flush=True)
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop, 0.05))
    mine = f", {(await asyncio.to_thread(sys.stdin.readline)).strip()})"
    stop.set()
    await running
    print(
        json.dumps(
            {
                "logins": sum(entry["event"] == "logged in" for entry in capture.entries),
                "commands": len(scan.received),
                "unhandled": unhandled.found,
                "witness": [str(each) for each in capture.entries if mine in str(each)],
                "closed": sum(entry["event"] == "connection closed" for entry in capture.entries),
            }
        ),
        flush=True,
    )
    await server.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(serve(Path(sys.argv[1])))
