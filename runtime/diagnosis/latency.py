"""``cellwright latency``: is this PC good enough? Measures, compares and judges.

Runs blocks of a bare C wait loop, of the full scan and (where Debian's ``cyclictest`` is installed)
of that program in turns, each in a fresh process with the same real-time settings, so that a noisy
minute of the machine meets all of them. It decides nothing about a cell and needs no running one.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from pydantic_core import PydanticCustomError

from cellwright.io.plan import Plan
from cellwright.io.plan import plan as plans
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.config import check_file
from cellwright.runtime.config.sections.durations import parse_duration
from cellwright.runtime.diagnosis.latency_block import Block
from cellwright.runtime.diagnosis.latency_cell import write_cell
from cellwright.runtime.diagnosis.latency_verdict import (
    PERCENTILES,
    LatencyVerdict,
    judge,
    percentile,
)

BARE: Final = "wait"
FULL: Final = "scan"
EMPTY: Final = "empty"
PEER: Final = "cyclictest"
EMPTY_SHARE: Final = 0.25
"""Length of a block of the empty runtime: its cost needs fewer cycles than a tail does."""
NEVER_NS: Final = 10_000_000_000
"""Task watchdogs are set aside: a stall of the machine is to be seen, and not to end it."""
PRIORITY: Final = 80
SHORTEST_BASE_NS: Final = 100_000
LONGEST_BASE_NS: Final = 1_000_000_000
CYCLES: Final = 100
"""Fewer in a block say nothing about its tail (of 100, p99.9 is the worst)."""
PEER_LONGEST_US: Final = 20_000
GRACE_S: Final = 60.0


class MeasureError(Exception):
    """The measurement could not be made; the sentence says why and what to do."""


class Settings(msgspec.Struct, frozen=True):
    """What to measure. ``core`` -1: not pinned; ``priority`` 0: no real-time class."""

    seconds: float
    """Length of each block."""
    blocks: int
    """How many of each kind."""
    priority: int
    core: int
    base_ns: int


def measurement(
    cell: Plan | None,
    *,
    seconds: float,
    blocks: int,
    priority: int | None,
    core: int | None,
    base: str,
) -> Settings:
    """Settings of a measurement: what is not given is the cell's own, or a scan's usual.

    ``base`` is a duration and counts for the built-in cell only. Raises MeasureError.
    """
    if cell is None:
        usual = (PRIORITY, max(os.sched_getaffinity(0)))
        try:
            base_ns = parse_duration(base)
        except PydanticCustomError as error:
            raise MeasureError(error.message()) from error
    else:
        usual, base_ns = (cell.scan.priority, cell.scan.core), cell.scan.base_ns
    if not SHORTEST_BASE_NS <= base_ns <= LONGEST_BASE_NS:
        raise MeasureError(
            f"a base interval of {base_ns / 1e6:g} ms cannot be measured; it takes 0.1 ms to 1 s"
        )
    if seconds * 1e9 < CYCLES * base_ns:
        raise MeasureError(
            f"{seconds:g} s hold fewer than {CYCLES} cycles of {base_ns / 1e6:g} ms, too few for "
            f"a p99.9; write --seconds {CYCLES * base_ns / 1e9:g} or more"
        )
    pinned = usual[1] if core is None else core
    last = os.sysconf("SC_NPROCESSORS_CONF") - 1
    if pinned > last:
        raise MeasureError(f"there is no core {pinned} here; name one from 0 to {last}, or -1")
    return Settings(
        seconds=seconds,
        blocks=blocks,
        priority=usual[0] if priority is None else priority,
        core=pinned,
        base_ns=base_ns,
    )


class Measured(msgspec.Struct, frozen=True):
    """One block."""

    kind: str
    """``wait`` (the bare loop), ``scan``, ``empty`` (the runtime alone) or ``cyclictest``."""
    pair: int
    cycles: int
    late_us: dict[str, float]
    """Start lateness by percentile."""
    cost_us: dict[str, float]
    """Duration of a cycle by percentile; empty for loops that do nothing."""
    skipped: int
    stolen_ms: float
    """Time that a hypervisor took from the block's core (from all cores when not pinned)."""
    state: str
    trouble: str
    lacking: list[str]


class Report(msgspec.Struct, frozen=True):
    """Everything that was found."""

    subject: str
    settings: Settings
    blocks: list[Measured]
    difference_us: list[dict[str, float]]
    """Lateness of the scan minus that of the bare loop, per pair."""
    median_difference_us: dict[str, float]
    peer: str
    """What became of cyclictest, in one line."""
    peer_difference_us: list[dict[str, float]]
    """Lateness of the scan minus that of cyclictest, per pair; empty without it."""
    median_peer_difference_us: dict[str, float]
    empty_cost_us: dict[str, float]
    """Cycle of the runtime with programs that do nothing, median over blocks."""
    histogram: dict[str, dict[str, int]]
    """Kind to lower bound in microseconds to number of starts, all blocks together."""
    verdict: LatencyVerdict


def bench_plan(cell: Plan | None, settings: Settings, folder: Path) -> Plan:
    """The plan to measure, in ``folder``: the given cell's, or the built-in one's.

    Real-time settings are those of ``settings``; watchdogs of tasks are set aside.
    """
    plan = cell
    if plan is None:
        report = check_file(write_cell(folder, settings.base_ns), data=folder / "data")
        plan = report.plan
        if plan is None:
            raise MeasureError(
                "the built-in cell does not compile with this base interval: "
                + "; ".join(str(problem) for problem in report.problems)
            )
    scan = msgspec.structs.replace(plan.scan, priority=settings.priority, core=settings.core)
    tasks = tuple(msgspec.structs.replace(task, watchdog_ns=NEVER_NS) for task in plan.tasks)
    return msgspec.structs.replace(plan, data=str(folder / "data"), scan=scan, tasks=tasks)


def measure(
    cell: Plan | None,
    settings: Settings,
    report: Callable[[str], None],
    cyclictest: str | None = None,
) -> Report:
    """Run all blocks and judge. ``cyclictest`` is the program's path, looked up when not given.

    Raises MeasureError.
    """
    peer_path = cyclictest or shutil.which(PEER)
    peer = "" if peer_path else "cyclictest is not on the PATH (Debian: apt install rt-tests)"
    blocks: list[Measured] = []
    late: dict[str, list[int]] = {}
    with _folder() as folder:
        run = RunFolder(folder)
        plan = bench_plan(cell, settings, folder)
        run.plan_file.write_bytes(plans.dump(plan))
        for pair in range(settings.blocks):
            kinds = [BARE, FULL, *([PEER] if peer_path and not peer else [])]
            turn = pair % len(kinds)
            for kind in [*kinds[turn:], *kinds[:turn], EMPTY]:
                report(f"block {pair + 1} of {settings.blocks}: {kind}")
                before = stolen_ms(settings.core)
                if kind == PEER:
                    assert peer_path is not None
                    try:
                        block = _peer_block(peer_path, settings)
                    except MeasureError as error:
                        peer = str(error)
                        continue
                else:
                    block = _own_block(run, kind, settings)
                stolen = stolen_ms(settings.core) - before
                blocks.append(_measured(kind, pair, block, stolen))
                late.setdefault(kind, []).extend(block.late_ns)
    return _report(plan, settings, blocks, late, peer or f"{peer_path} ran in turns")


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder where the image of a running cell would lie, removed at the end."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    try:
        with tempfile.TemporaryDirectory(prefix="cellwright-latency-", dir=place) as name:
            yield Path(name)
    except OSError as error:
        raise MeasureError(
            f"no folder for the measurement: {error}; make room in /dev/shm"
        ) from error


def _own_block(run: RunFolder, kind: str, settings: Settings) -> Block:
    seconds = settings.seconds * (EMPTY_SHARE if kind == EMPTY else 1.0)
    command = [
        sys.executable,
        "-m",
        "cellwright.runtime.diagnosis.latency_block",
        "--run",
        str(run.path),
    ]
    command += ["--kind", kind, "--seconds", str(seconds)]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=GRACE_S + 6 * seconds, check=False
        )
        if done.returncode == 0:
            block = msgspec.msgpack.decode(done.stdout, type=Block)
            if block.late_ns:
                return block
        why = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        why = str(error)
    raise MeasureError(
        f"the block '{kind}' gave no figures: {why or 'no cycle was run in time'}; "
        f"try it with a longer base interval"
    )


def stolen_ms(core: int, stat: Path = Path("/proc/stat")) -> float:
    """Time that the hypervisor has taken since boot, in milliseconds; 0 where it is not told."""
    label = f"cpu{core}" if core >= 0 else "cpu"
    for line in stat.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and words[0] == label and len(words) > 8:
            return int(words[8]) * 1e3 / os.sysconf("SC_CLK_TCK")
    return 0.0


# --- cyclictest -----------------------------------------------------------------------------------

_COUNT: Final = re.compile(r"^(\d{6,})\s+(\d+)\s*$", re.MULTILINE)
_MAXIMUM: Final = re.compile(r"^# Max Latencies:\s*(\d+)", re.MULTILINE)
_OVERFLOWS: Final = re.compile(r"^# Histogram Overflows:\s*(\d+)", re.MULTILINE)


def peer_command(path: str, settings: Settings) -> list[str]:
    """cyclictest with the same priority, core, interval and length; one thread, memory locked."""
    command = [path, "--quiet", "--threads=1", "--mlockall", f"--priority={settings.priority}"]
    if settings.core >= 0:
        command.append(f"--affinity={settings.core}")
    return [
        *command,
        f"--interval={max(1, settings.base_ns // 1000)}",
        f"--loops={max(1, int(settings.seconds * 1e9 / settings.base_ns))}",
        f"--histogram={PEER_LONGEST_US}",
    ]


def peer_late_ns(text: str) -> list[int]:
    """The starts in a histogram of cyclictest, in order of size, to the microsecond.

    Those beyond its range count as its maximum. Raises MeasureError when there are none.
    """
    late = [int(us) * 1000 for us, count in _COUNT.findall(text) for _ in range(int(count))]
    maximum, overflows = _MAXIMUM.search(text), _OVERFLOWS.search(text)
    if maximum and overflows:
        late += [int(maximum[1]) * 1000] * int(overflows[1])
    if not late:
        raise MeasureError("cyclictest ran but printed no histogram; it is left out")
    return late


def _peer_block(path: str, settings: Settings) -> Block:
    command = peer_command(path, settings)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=GRACE_S + 2 * settings.seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MeasureError(f"cyclictest could not be run ({error}); it is left out") from error
    if done.returncode != 0:
        why = (done.stderr or done.stdout).strip().partition("\n")[0]
        raise MeasureError(f"cyclictest ended with {done.returncode} ({why}); it is left out")
    return Block(peer_late_ns(done.stdout), [], 0, "", "", [])


# --- figures --------------------------------------------------------------------------------------


def summary_us(values_ns: Sequence[int]) -> dict[str, float]:
    """Percentiles and maximum in microseconds; empty for no values."""
    if not values_ns:
        return {}
    ordered = sorted(values_ns)
    figures = {f"p{q:g}": percentile(ordered, q) / 1e3 for q in PERCENTILES}
    return {**figures, "max": ordered[-1] / 1e3}


def buckets(values_ns: Sequence[int]) -> dict[str, int]:
    """Histogram with two bars an octave: lower bound in microseconds to count, ascending."""
    counts: dict[int, int] = {}
    for value in values_ns:
        us = max(0, value) / 1e3
        low = 0 if us < 1 else 1 << int(math.log2(us))
        if low > 1 and us >= 1.5 * low:
            low += low // 2
        counts[low] = counts.get(low, 0) + 1
    return {str(low): counts[low] for low in sorted(counts)}


def _measured(kind: str, pair: int, block: Block, stolen: float) -> Measured:
    return Measured(
        kind=kind,
        pair=pair,
        cycles=len(block.late_ns),
        late_us=summary_us(block.late_ns),
        cost_us=summary_us(block.cost_ns),
        skipped=block.skipped,
        stolen_ms=stolen,
        state=block.state,
        trouble=block.trouble,
        lacking=block.lacking,
    )


def differences(blocks: Sequence[Measured], of: str, minus: str) -> list[dict[str, float]]:
    """Lateness of one kind minus that of another, pair by pair."""
    by_pair = {(block.pair, block.kind): block.late_us for block in blocks}
    pairs = sorted({block.pair for block in blocks})
    return [
        {name: by_pair[pair, of][name] - value for name, value in by_pair[pair, minus].items()}
        for pair in pairs
        if (pair, of) in by_pair and (pair, minus) in by_pair
    ]


def medians(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Median of each figure over the rows."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]} if rows else {}


def _report(
    plan: Plan,
    settings: Settings,
    blocks: list[Measured],
    late: dict[str, list[int]],
    peer: str,
) -> Report:
    per_pair = differences(blocks, FULL, BARE)
    to_peer = differences(blocks, FULL, PEER)
    full = [block for block in blocks if block.kind == FULL]
    return Report(
        subject=f"{plan.cell}: {len(plan.tags)} tags, {len(plan.tasks)} tasks",
        settings=settings,
        blocks=blocks,
        difference_us=per_pair,
        median_difference_us=medians(per_pair),
        peer=peer,
        peer_difference_us=to_peer,
        median_peer_difference_us=medians(to_peer),
        empty_cost_us=medians([block.cost_us for block in blocks if block.kind == EMPTY]),
        histogram={kind: buckets(values) for kind, values in late.items() if kind != EMPTY},
        verdict=judge(
            base_us=settings.base_ns / 1e3,
            late_us=medians([block.late_us for block in full])["p99.9"],
            added_us=medians(per_pair)["p99.9"],
            cost_us=medians([block.cost_us for block in full])["p99"],
            cycles=sum(block.cycles for block in full),
            skipped=sum(block.skipped for block in full),
            stolen_ms=sum(block.stolen_ms for block in blocks),
            lacking=sorted({sentence for block in full for sentence in block.lacking}),
            trouble=next((block.trouble for block in full if block.trouble), ""),
        ),
    )
