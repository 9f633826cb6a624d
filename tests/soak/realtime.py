"""Twenty minutes of the whole blade cell in real time: does any of its processes grow?

``make soak`` runs it. Everything is real: supervisor, scan, drivers, workers, journal, recorder and
gateway, the plant process, and an OPC UA client in a process of its own that subscribes to the
cell. Every 10 s memory and file handles of each process and the sizes of its folders are taken; at
the end each process's least-squares slope after warm-up is printed and judged.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asyncua import Client, ua

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples" / "blade_marking"), str(ROOT / "tests")]

from cellwright.io.image.command_client import CommandFailed  # noqa: E402
from cellwright.io.plan import CellState  # noqa: E402
from cellwright.io.recording.store import RECORDINGS  # noqa: E402
from cellwright.mes.shopfloor.parts import counts  # noqa: E402
from cellwright.runtime.simulation.footprint import Contents, Footprint, slope  # noqa: E402
from support.cells import CellUnderTest  # noqa: E402 - its folder is known now

EVERY_S = 10.0
MIB = 1 << 20
RSS_RISE = 8.0
"""MiB by which a process's slope may carry it from the end of the warm-up to the end.

The gateway needs some of it: its window of 500 parts (`mes_view.MAX_UNITS`) fills up in the first
twenty minutes, about 10 KiB a part with what the allocator keeps; then it stays as it is."""
HANDLES_RISE = 3
"""A file or a connection may just be open when a figure is taken."""
RECORDINGS_SIZE = 256 + 1024
"""MiB; the recorder's policy: the rolling window and what is kept for a cause."""
RUN_RISE = 1.0
"""MiB; the run folder holds image, plan and start file, none of which grows."""
TAGS = ("sequence.message", "sequence.step", "sequence.parts", "mark.serial", "inspect.read")


def main() -> int:
    """Run and judge; exit code 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes")
    parser.add_argument("--speed", type=float, default=2.0, help="the plant's time against real")
    parser.add_argument("--client", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    if arguments.client:
        asyncio.run(subscribe(arguments.client))
        return 0
    with tempfile.TemporaryDirectory(prefix="cw-soak-") as folder:
        return run(Path(folder), arguments.minutes, arguments.warm_up, arguments.speed)


# --- the client -----------------------------------------------------------------------------------


class Handler:
    """Counts notifications."""

    count = 0

    def datachange_notification(self, node: object, value: object, data: object) -> None:
        """Called by the client for each change."""
        self.count += 1


async def subscribe(port: int) -> None:
    """Subscribe until the parent ends this process; again when the connection was lost."""
    handler = Handler()
    lost = 0
    while True:
        try:
            await listen(port, handler, lost)
        except (OSError, TimeoutError, ua.UaError) as error:
            lost += 1
            print(f"connection lost: {type(error).__name__}: {error}", flush=True)
            await asyncio.sleep(1)


async def listen(port: int, handler: Handler, lost: int) -> None:
    """One connection, until it is lost."""
    async with Client(f"opc.tcp://127.0.0.1:{port}", timeout=30) as client:
        io = await client.get_namespace_index("urn:cellwright:io")
        subscription = await client.create_subscription(100, handler)
        for name in TAGS:
            node = client.get_node(f"ns={io};s=BladeMarking.IO.Memory.{name}")
            await subscription.subscribe_data_change(node)
        print("subscribed", flush=True)
        while True:
            await asyncio.sleep(60)
            await client.check_connection()
            print(f"{handler.count} notifications, connection lost {lost} times", flush=True)


@contextmanager
def client(port: int, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The client's process; ended with the block."""
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, __file__, "--client", str(port)], stdout=stream, stderr=stream
        )
    try:
        deadline = time.monotonic() + 60
        while b"subscribed" not in output.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the client did not subscribe: {output.read_text()}")
            time.sleep(0.2)
        yield process
    finally:
        process.kill()
        process.wait()


# --- the soak -------------------------------------------------------------------------------------


def configure(cell: Any) -> None:
    """The client may connect without a certificate."""
    cell["opcua"]["insecure"] = True


def run(folder: Path, minutes: float, warm_up: float, speed: float) -> int:
    """The soak itself."""
    taken: dict[str, list[tuple[float, Footprint]]] = {}
    folders: list[tuple[float, Contents, Contents, Contents]] = []
    faults = 0
    with CellUnderTest(folder, speed=speed, edit=configure) as cell:
        cell.until_serving()
        cell.order("SOAK", 1_000_000)
        with client(cell.opcua_port, folder / "client.txt") as watcher:
            extra = {"plant": cell.plant.pid, "opcua client": watcher.pid}
            begin = time.monotonic()
            next_s = EVERY_S
            while next_s <= minutes * 60:
                time.sleep(max(0.0, begin + next_s - time.monotonic()))
                now = (time.monotonic() - begin) / 60
                take(cell, extra, now, taken)
                recordings = Contents.of(cell.data / RECORDINGS)
                run_folder = Contents.of(cell.run_folder.path)
                folders.append((now, Contents.of(cell.data), recordings, run_folder))
                show(cell, now, taken, folders[-1])
                faults += go_on(cell)
                next_s += EVERY_S
            notifications = (folder / "client.txt").read_text().splitlines()[-1]
        skipped = cell.image.scan.skipped_ticks
        store = cell.store()
        try:
            with store.session() as session:
                found = counts(session)
        finally:
            store.close()
        print(
            f"{cell.image.scan.cycle} cycles, {skipped} ticks skipped, {faults} faults; "
            f"{found.recorded} blades recorded, {found.good} good, {found.duplicates} duplicate "
            f"serials; client: {notifications}"
        )
    judged = judge(taken, folders, warm_up)
    judged.append(("duplicate serials", found.duplicates == 0, str(found.duplicates)))
    judged.append(("blades", found.recorded > 0, f"{found.recorded} recorded"))
    for name, right, figure in judged:
        print(f"{'ok  ' if right else 'FAIL'} {name}: {figure}")
    return 0 if all(right for _, right, _ in judged) else 1


def take(
    cell: CellUnderTest,
    extra: dict[str, int],
    now: float,
    taken: dict[str, list[tuple[float, Footprint]]],
) -> None:
    """Figures of every process; one that was started again is another one."""
    pids = {
        f"{name} ({slot.restarts})" if slot.restarts else name: slot.pid
        for name, slot in cell.image.processes.items()
        if slot.pid
    }
    for name, pid in {**pids, **extra}.items():
        try:
            taken.setdefault(name, []).append((now, Footprint.of(pid)))
        except OSError:
            print(f"     process {name} is gone")


def go_on(cell: CellUnderTest) -> int:
    """What an operator does: a stall of a busy computer may well trip a watchdog."""
    if cell.state is not CellState.FAULT:
        return 0
    print(f"     FAULT: {cell.image.scan.fault_text}")
    for request in ("reset", "start"):
        try:
            cell.request(request)
        except CommandFailed as error:
            print(f"     {request}: {error}")
    return 1


def show(
    cell: CellUnderTest,
    now: float,
    taken: dict[str, list[tuple[float, Footprint]]],
    sizes: tuple[float, Contents, Contents, Contents],
) -> None:
    """One line a minute."""
    if round(now * 60) % 60 > EVERY_S / 2:
        return
    memory = sum(points[-1][1].rss_bytes for points in taken.values())
    handles = sum(points[-1][1].handles for points in taken.values())
    _, data, recordings, run_folder = sizes
    print(
        f"{now:5.1f} min  {cell.state.name}  {cell.value('sequence.parts')} blades  "
        f"RSS of all {memory / MIB:.0f} MiB  {handles} handles  "
        f"data {data.size_bytes / MIB:.1f} MiB in {data.files} files "
        f"(recordings {recordings.size_bytes / MIB:.1f})  "
        f"run {run_folder.size_bytes / MIB:.1f} MiB",
        flush=True,
    )


def judge(
    taken: dict[str, list[tuple[float, Footprint]]],
    folders: list[tuple[float, Contents, Contents, Contents]],
    warm_up: float,
) -> list[tuple[str, bool, str]]:
    """Name, whether the bound held, and the figure; after warm-up."""
    judged = []
    for name, points in sorted(taken.items()):
        # A process that was started again warms up again.
        begin = max(warm_up, points[0][0] + warm_up if points[0][0] > 1 else 0.0)
        steady = [(at, one) for at, one in points if at >= begin]
        if len(steady) < 2:
            judged.append((name, True, "too young to be judged"))
            continue
        rise = slope([(at, one.rss_bytes / MIB) for at, one in steady])
        carried = rise * (steady[-1][0] - steady[0][0])
        first, last = steady[0][1], steady[-1][1]
        most = max(one.handles for _, one in steady)
        judged.append(
            (
                name,
                carried <= RSS_RISE and most <= first.handles + HANDLES_RISE,
                f"{first.rss_bytes / MIB:.1f} to {last.rss_bytes / MIB:.1f} MiB, "
                f"{rise:+.4f} MiB a minute; handles {first.handles} to {last.handles}, "
                f"at most {most}; threads {first.threads} to {last.threads}",
            )
        )
    steady_folders = [one for one in folders if one[0] >= warm_up] or folders[-1:]
    recordings = max(one[2].size_bytes for one in steady_folders) / MIB
    grown = (steady_folders[-1][3].size_bytes - steady_folders[0][3].size_bytes) / MIB
    data = slope([(one[0], one[1].size_bytes / MIB) for one in steady_folders])
    judged += [
        ("recordings", recordings <= RECORDINGS_SIZE, f"at most {recordings:.1f} MiB"),
        ("run folder", grown <= RUN_RISE, f"{grown:+.2f} MiB after warm-up"),
        ("data folder (not judged: it keeps every part)", True, f"{data:+.3f} MiB a minute"),
    ]
    return judged


if __name__ == "__main__":
    sys.exit(main())
