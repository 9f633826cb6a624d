"""Servers whose tags all change every 100 ms, each as a process of its own; see test_opcua_publish.

``python opcua_servers.py (ours|asyncua) TAGS FOLDER`` prints its URL when a client may come. Our
server reads an image that another process writes, as in a cell; the library has no image, so it
writes its own nodes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np
import structlog
from asyncua import Server, ua

from cellwright.io.image import BlockLayout, Image
from cellwright.io.plan import GOOD, Plan
from cellwright.io.timing.clock import MonotonicClock
from cellwright.native import ffi, lib
from cellwright.opcua_model.server import CellServer
from support.opcua_support import FakeScan, ImageBench, cell_plan

PERIOD_S = 0.1


def _scan(plan: Plan, path: Path) -> None:
    """Writes every LREAL anew every 100 ms and stamps it, as a scan does."""
    image, parent = Image.attach(path, plan), os.getppid()
    layout = BlockLayout(plan)
    block = bytearray(layout.size)
    first = next(tag for tag in plan.tags if tag.name == "real_0")
    count = sum(tag.name.startswith("real_") for tag in plan.tags)
    place = layout.values + first.offset
    values = np.frombuffer(block, "<f8", count, place)
    quality = np.frombuffer(block, "<u4", layout.tags, layout.quality)
    stamps = np.frombuffer(block, "<i8", layout.tags, layout.timestamps)
    quality[:] = GOOD
    header = np.frombuffer(block, "<i8", 3, 0)
    area = image.area("snapshot")
    due, cycle = time.monotonic(), 1
    while os.getppid() == parent:
        cycle += 1
        utc_ns = time.time_ns()
        values += 1.0
        stamps[:] = utc_ns
        header[:] = (cycle, time.monotonic_ns(), utc_ns)
        lib.cw_snapshot_write(area.pointer, area.size, ffi.from_buffer(block), len(block))
        due += PERIOD_S
        time.sleep(max(0.0, due - time.monotonic()))


async def _ours(tags: int, folder: Path) -> None:
    plan = cell_plan(folder, reals=tags, long=True, anonymous="read", insecure=True)
    bench = ImageBench(plan)
    writer = multiprocessing.get_context("spawn").Process(
        target=_scan, args=(plan, folder / "image"), daemon=True
    )
    writer.start()
    server = CellServer(bench.image, FakeScan(bench), None, pki=folder, clock=MonotonicClock())
    await server.start()
    gc.collect()
    gc.freeze()
    print(f"opc.tcp://127.0.0.1:{server.port}", flush=True)
    await server.run(asyncio.Event())


async def _asyncua(tags: int) -> None:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = server.iserver.aspace
    folder = await server.nodes.objects.add_folder(2, "Tags")
    nodes = []
    for number in range(tags):
        if number % 100 == 0:  # the cost of a folder grows with the square of its nodes
            group = await folder.add_folder(2, f"group_{number}")
        node = await group.add_variable(ua.NodeId(f"real_{number}", 2), f"real_{number}", 0.0)
        nodes.append(node.nodeid)
    async with server:
        print(f"opc.tcp://127.0.0.1:{server.bserver.port}", flush=True)
        value, due = 0.0, time.monotonic()
        while True:
            value += 1.0
            now = ua.DateTime.now(ua.uatypes.timezone.utc)
            for node_id in nodes:
                content = ua.DataValue(
                    ua.Variant(value, ua.VariantType.Double), ua.StatusCode(), now, now
                )
                await space.write_attribute_value(node_id, ua.AttributeIds.Value, content)
            due += PERIOD_S
            await asyncio.sleep(max(0.001, due - time.monotonic()))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    kind, many, where = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    asyncio.run(_ours(many, where) if kind == "ours" else _asyncua(many))
