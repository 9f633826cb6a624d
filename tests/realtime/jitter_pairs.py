"""Start jitter of a whole running cell beside cyclictest, in turns: ``make jitter``.

The cell has 1,000 tags, three tasks (one a bank of 50 PID loops), a Modbus driver that polls a
coupler, and a gateway with a client that subscribes to 200 tags. While cyclictest runs, with the
scan's priority on the scan's core, the scan goes on beside the rest on the other cores, so that
both meet the same machine: with the scan stopped the rest of the cell would fall idle, and what
else the machine does would move away from the core that is measured. Starts are taken from the
flight recorder: each cycle's own time against its tick.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cellwright.io.image import Image
from cellwright.io.image.command_client import CommandClient
from cellwright.io.messages import ResetStatistics
from cellwright.io.plan import CellState
from cellwright.io.recording.cycle import CycleRecord
from cellwright.io.recording.file import Batch, Recording
from cellwright.runtime.cell.run_folder import RunFolder, folder_for
from cellwright.runtime.config import compile_file
from cellwright.runtime.diagnosis.latency import (
    Settings,
    medians,
    peer_command,
    peer_late_ns,
    stolen_ms,
    summary_us,
)
from support.modbus_coupler import Coupler

LOOPS = 50
TAGS = 1000
SUBSCRIBED = 200
BASE_NS = 1_000_000
PROGRAMS = '''
from cellwright.tasks.api import ARRAY, BOOL, LREAL, UDINT, Input, Output, Program, ScanContext
from cellwright.tasks.control.blocks import PID_BANK, PidTuning

LOOPS = {loops}


class Bank(Program):
    """Fifty loops, each with a first-order plant."""

    setpoints = Input(ARRAY(LOOPS, LREAL))
    measured = Output(ARRAY(LOOPS, LREAL))
    outputs = Output(ARRAY(LOOPS, LREAL))
    bank = PID_BANK(LOOPS)
    tunings = tuple(PidTuning(kp=2.0, ti_s=0.5) for _ in range(LOOPS))

    def scan(self, ctx: ScanContext) -> None:
        values = self.measured
        outs = self.bank(ctx, SP=self.setpoints, PV=values, tunings=self.tunings)
        self.outputs = outs
        self.measured = [v + (o - v) * 0.005 for v, o in zip(values, outs)]


class Interlocks(Program):
    """Releases follow requests."""

    request = Input(ARRAY(64, BOOL))
    release = Output(ARRAY(64, BOOL))

    def scan(self, ctx: ScanContext) -> None:
        self.release = self.request


class Counting(Program):
    """Counts its runs, drives an output, and changes what clients subscribe to."""

    present = Input(BOOL)
    runs = Output(UDINT)
    lamp = Output(BOOL)
    heartbeat = Output(UDINT)

    def scan(self, ctx: ScanContext) -> None:
        self.runs = (self.runs + 1) % 2**32
        self.heartbeat = self.runs % 65536
        self.lamp = self.present
'''


def write_cell(folder: Path, coupler: int, port: int, realtime: str) -> Path:
    """The cell's two files."""
    (folder / "jitter_programs.py").write_text(PROGRAMS.format(loops=LOOPS))
    kinds = ("REAL", "BOOL", "INT", "DINT", "LREAL")
    used = 5 + 5 + 30
    tags = "\n".join(
        f"  spare{n}: {{type: {kinds[n % len(kinds)]}, memory: true}}" for n in range(TAGS - used)
    )
    file = folder / "cell.yaml"
    file.write_text(
        f"""
cell: {{name: Jitter, start: run}}
scan: {{base: 1ms, watchdog: {{time: 400ms, sensitivity: 10}},
        realtime: {{{realtime}}}}}
devices:
  io: {{driver: modbus-tcp, host: 127.0.0.1, port: {coupler}, unit: 1, poll: 10ms}}
tags:
  present: {{type: BOOL, in: "io.discrete_inputs[0]"}}
  level: {{type: UINT, in: "io.input_registers[3]"}}
  lamp: {{type: BOOL, out: "io.coils[2]", safe: false}}
  heartbeat: {{type: UDINT, out: "io.holding_registers[1]", safe: hold}}
  setpoints: {{type: "ARRAY[0..{LOOPS - 1}] OF LREAL", memory: true, initial: {[50.0] * LOOPS}}}
{tags}
tasks:
  bank: {{program: "jitter_programs:Bank", interval: 1ms, priority: 1, watchdog: 100ms}}
  interlocks: {{program: "jitter_programs:Interlocks", interval: 5ms, priority: 2, watchdog: 100ms}}
  counting: {{program: "jitter_programs:Counting", interval: 10ms, priority: 3, watchdog: 100ms}}
opcua: {{endpoint: "opc.tcp://127.0.0.1:{port}", anonymous: read, insecure: true}}
"""
    )
    return file


class Cell:
    """The running cell: its processes pinned, its scan stopped and continued."""

    def __init__(self, folder: Path, file: Path, core: int) -> None:
        self.folder, self.file = folder, file
        self.core = core
        self.others = set(range(os.cpu_count() or 1)) - {core}
        self.plan = compile_file(file)
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", "cellwright.runtime.cli", "run", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=(folder / "out.txt").open("wb"),
            stderr=subprocess.STDOUT,
        )
        run = RunFolder(folder_for(self.plan))
        _until(run.image.exists, "the image", 30)
        self.image = Image.attach(run.image, self.plan)
        self.commands = CommandClient(self.image)
        _until(lambda: self.image.scan.state == CellState.RUN, "RUN", 60)

    def pid(self, name: str) -> int:
        """Process number of one of its processes."""
        return self.image.processes[name].pid

    def pin_others(self) -> None:
        """Everything but the scan on the other cores."""
        for name, slot in self.image.processes.items():
            if name == "scan" or not self.others:
                continue
            for thread in psutil.Process(slot.pid).threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, self.others)

    def scan_on(self, cores: set[int]) -> None:
        """Put the scan on these cores, or leave it where there are none."""
        if cores:
            for thread in psutil.Process(self.pid("scan")).threads():
                os.sched_setaffinity(thread.id, cores)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The scan runs on the other cores for as long as this lasts."""
        self.scan_on(self.others)
        try:
            yield
        finally:
            self.scan_on({self.core})

    def block(self, seconds: float) -> tuple[int, int]:
        """Let it run undisturbed; the cycle numbers between which that was."""
        time.sleep(1.0)
        self.commands.send(ResetStatistics(actor="jitter", reason="block"))
        first = self.image.scan.cycle
        time.sleep(seconds)
        return first, self.image.scan.cycle

    def starts_ns(self, first: int, last: int) -> tuple[list[int], float]:
        """Lateness of each recorded cycle of the block, and what part of the block was recorded."""
        done = subprocess.run(
            [sys.executable, "-m", "cellwright.runtime.cli", "record", "-c", str(self.file)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        late = []
        grid, base = self.image.scan.grid_ns, self.image.scan.base_ns
        path = Path(done.stdout.strip().splitlines()[-1])
        for part in Recording(path).parts():
            if isinstance(part, Batch):
                for data in part.records:
                    record = CycleRecord(data)
                    if first < record.cycle <= last:
                        late.append(record.now_ns - (grid + record.tick * base))
        path.unlink()
        return late, len(late) / max(1, last - first)

    def cost_us(self) -> dict[str, float]:
        """Execution time of the scan since the last reset, to an eighth."""
        figures = self.image.statistics.read(-1).execution
        return {f"p{q:g}": figures.percentile(q) / 1e3 for q in (50, 99, 99.9)}

    def end(self) -> None:
        """In order."""
        self.supervisor.send_signal(signal.SIGTERM)
        try:
            self.supervisor.wait(30)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()


def _until(condition: Any, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"jitter: waited {seconds:g} s in vain for {what}")
        time.sleep(0.05)


async def _serve_coupler(say: Callable[[str], object]) -> None:
    coupler = Coupler()
    await coupler.start()
    say(str(coupler.port))
    while os.getppid() != 1:
        await asyncio.sleep(0.5)
        coupler.log.clear()
        coupler.discrete ^= 1
    await coupler.stop()


async def _subscribe(url: str) -> None:
    from asyncua import Client  # noqa: PLC0415 - the measuring process does without it

    seen = 0

    class Handler:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            nonlocal seen
            seen += 1

    async with Client(url) as client:
        names = [f"ns=4;s=Jitter.IO.Memory.spare{n}" for n in range(SUBSCRIBED - 2)]
        names += ["ns=4;s=Jitter.IO.Memory.counting.runs", "ns=4;s=Jitter.IO.Memory.bank.measured"]
        subscription = await client.create_subscription(50, Handler())
        await subscription.subscribe_data_change([client.get_node(name) for name in names])
        while os.getppid() != 1:
            await asyncio.sleep(1)
            print(seen, flush=True)


@contextmanager
def beside(words: Sequence[str], core: int, output: Path | None = None) -> Iterator[int]:
    """Another process of this program, off the scan's core."""
    with (output or Path(os.devnull)).open("wb") as file:
        child = subprocess.Popen([sys.executable, __file__, *words], stdout=file)
    others = set(range(os.cpu_count() or 1)) - {core}
    if others:
        os.sched_setaffinity(child.pid, others)
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


def cyclictest(folder: Path) -> str:
    """The installed one, or that of Debian's package rt-tests unpacked into ``folder``."""
    found = shutil.which("cyclictest")
    if found:
        return found
    try:
        subprocess.run(
            ["apt-get", "download", "rt-tests"], cwd=folder, check=True, capture_output=True
        )
        (package,) = folder.glob("rt-tests*.deb")
        subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise SystemExit(f"jitter: cyclictest cannot be had ({error}); install rt-tests") from error
    return str(folder / "usr/bin/cyclictest")


def measure(settings: Settings, spin: str) -> dict[str, Any]:
    """All pairs; prints each."""
    with tempfile.TemporaryDirectory(prefix="cw-jitter-") as name:
        folder = Path(name)
        peer = cyclictest(folder)
        core = settings.core
        realtime = f"priority: {settings.priority}, core: {core}, awake: true, spin: {spin}"
        port_file = folder / "port"
        with beside(["--coupler", str(port_file)], core):
            _until(lambda: port_file.exists() and port_file.read_text(), "the coupler", 20)
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            file = write_cell(folder, int(port_file.read_text()), port, realtime)
            cell = Cell(folder, file, core)
            try:
                _until(lambda: _listens(port), "the OPC UA server", 60)
                seen = folder / "seen.txt"
                url = f"opc.tcp://127.0.0.1:{port}"
                with beside(["--subscribe", url], core, seen):
                    _until(lambda: seen.read_text().strip(), "the client's first values", 60)
                    return _pairs(cell, settings, peer, seen)
            finally:
                cell.end()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


def _pairs(cell: Cell, settings: Settings, peer: str, seen: Path) -> dict[str, Any]:
    rows = []
    for pair in range(settings.blocks):
        cell.pin_others()
        stolen = stolen_ms(settings.core)
        skipped = cell.image.scan.skipped_ticks
        first, last = cell.block(settings.seconds)
        cost, skipped = cell.cost_us(), cell.image.scan.skipped_ticks - skipped
        stolen_scan, stolen = stolen_ms(settings.core) - stolen, stolen_ms(settings.core)
        with cell.aside():
            done = subprocess.run(
                peer_command(peer, settings),
                capture_output=True,
                text=True,
                timeout=60 + 2 * settings.seconds,
                check=True,
            )
        stolen_peer = stolen_ms(settings.core) - stolen
        bare = summary_us(peer_late_ns(done.stdout))
        late, part = cell.starts_ns(first, last)
        ours = summary_us(sorted(late))
        row = {
            "pair": pair + 1,
            "scan_us": ours,
            "cyclictest_us": bare,
            "difference_us": {key: ours[key] - bare[key] for key in ours},
            "recorded": part,
            "skipped": skipped,
            "cost_us": cost,
            "stolen_ms": [stolen_scan, stolen_peer],
            "values_seen": int((seen.read_text().split() or ["0"])[-1]),
        }
        rows.append(row)
        print(
            f"pair {pair + 1}: p99.9 scan {ours['p99.9']:.0f} us, cyclictest {bare['p99.9']:.0f}, "
            f"difference {ours['p99.9'] - bare['p99.9']:+.0f}; p50 {ours['p50']:.0f} / "
            f"{bare['p50']:.0f}; max {ours['max']:.0f} / {bare['max']:.0f}; skipped {skipped}; "
            f"cost p50 {cost['p50']:.0f}; stolen {stolen_scan:.0f} / {stolen_peer:.0f} ms; "
            f"recorded {part:.4f}",
            flush=True,
        )
    return {"rows": rows, "median_difference_us": medians([row["difference_us"] for row in rows])}


def main() -> int:
    """Measure, or be the coupler or the client of a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--priority", type=int, default=80)
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1)
    parser.add_argument("--spin", default="400us", help="the cell's scan.realtime.spin")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    parser.add_argument("--coupler", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--subscribe", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.coupler:
        asyncio.run(_serve_coupler(given.coupler.write_text))
        return 0
    if given.subscribe:
        asyncio.run(_subscribe(given.subscribe))
        return 0
    settings = Settings(
        seconds=given.seconds,
        blocks=given.pairs,
        priority=given.priority,
        core=given.core,
        base_ns=BASE_NS,
    )
    report = measure(settings, given.spin)
    difference = report["median_difference_us"]
    print(
        "median over pairs of scan minus cyclictest: "
        + ", ".join(f"{key} {value:+.1f} us" for key, value in difference.items())
    )
    if given.json:
        given.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
