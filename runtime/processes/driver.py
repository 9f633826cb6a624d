"""A driver process: one field device, polled, written, and kept safe when the scan is gone."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import structlog

from cellwright.io.drivers.poll_loop import DevicePoller, WatchdogLimits
from cellwright.io.options import from_plan
from cellwright.io.registry import registry
from cellwright.runtime.cell.membership import Membership, join
from cellwright.runtime.realtime.grants import acquire_for_driver

STOP_CHECK_S = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Poll one device until the supervisor asks to stop or is gone; outputs are safe at the end."""
    member, options = join(arguments, lambda parsed: f"device:{parsed.device}", "--device")
    device = next(device for device in member.plan.devices if device.name == options.device)
    kind: Any = registry.load("drivers", device.driver)
    # Urgent only from here on: importing a driver at this priority would keep the others from
    # writing for longer than their devices' own watchdogs bear.
    lacking = acquire_for_driver(member.plan.scan)
    structlog.get_logger(__name__).info("driver starts", lacking=lacking)
    asyncio.run(_poll(member, options.device, kind))
    return 0


async def _poll(member: Membership, name: str, kind: Any) -> None:
    plan = member.plan
    index = next(i for i, device in enumerate(plan.devices) if device.name == name)
    device = plan.devices[index]
    driver = kind(device.name, from_plan(kind.Options, device.options))
    scan = member.image.scan
    poller = DevicePoller(
        device,
        driver,
        member.image.device(index),
        scan_beat=lambda: scan.beat_ns,
        clock=member.clock,
        watchdog=WatchdogLimits(plan.scan.watchdog_ns),
        base_ns=plan.scan.base_ns,
        parent_alive=member.supervisor_alive,
    )
    stop = asyncio.Event()
    polling = asyncio.create_task(poller.run(stop))
    while not polling.done():
        member.beat()
        if member.stop.is_set():
            stop.set()
        await asyncio.wait([polling], timeout=STOP_CHECK_S)
    await polling


if __name__ == "__main__":
    sys.exit(main())
