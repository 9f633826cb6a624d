"""A day of the blade cell in simulated time: does anything grow that must not?

``make soak`` runs it. Recorder, journal on disk with purge, retained values and the MES services
are real; figures are printed every simulated half hour and judged by the bounds below at the end.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cellwright.io.journal.journal import JOURNAL_FILE
from cellwright.io.recording.store import RECORDINGS
from cellwright.mes.shopfloor.parts import counts
from cellwright.runtime.cell import logs
from cellwright.runtime.config import compile_file
from cellwright.runtime.simulation import SimulatedCell
from cellwright.runtime.simulation.footprint import Contents, Footprint, slope
from cellwright.runtime.simulation.records import ServiceMes

EXAMPLE = Path(__file__).parents[2] / "examples" / "blade_marking"
STEP_S = 1800.0
WARM_UP_H = 2.0
KEEP_H = 1.0
"""How long the journal keeps what the MES has; the product keeps it a week."""

MIB = 1 << 20
RSS_GROWTH = 24 * MIB
"""After warm-up. The plant remembers each blade's content as a witness: about 4 MiB a day."""
RECORDINGS_SIZE = 64 * MIB
"""Ten minutes of 100 cycles a second and a keyframe every 5 s."""
JOURNAL_SIZE = 64 * MIB
"""An hour of events, what comes between two purges, and SQLite's free pages and log."""
FILES = 600
"""120 segments of the recording, and the handful of the data folder; frames of rejected parts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Figures at one simulated time."""

    hours: float
    rss: int
    handles: int
    threads: int
    journal: int
    recordings: int
    database: int
    files: int


def main() -> int:
    """Run and judge; exit code 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fault-rate", type=float, default=0.01)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    sys.path.insert(0, str(EXAMPLE))
    with tempfile.TemporaryDirectory(prefix="cw-soak-") as folder:
        logs.configure("soak", Path(folder) / "log")
        return run(Path(folder), arguments.hours, arguments.seed, arguments.fault_rate)


def run(folder: Path, hours: float, seed: int, fault_rate: float) -> int:
    """The soak itself."""
    from plant.model import BladeOptions, BladePlant  # noqa: PLC0415 - its folder is known now

    plan = compile_file(EXAMPLE / "cell.yaml")
    begin = time.perf_counter()
    samples: list[Sample] = []
    with SimulatedCell(
        plan,
        seed=seed,
        plant=BladePlant,
        options=BladeOptions(fault_rate=fault_rate),
        journal="file",
        mes="services",
        record=True,
        data=folder,
        keep_ns=int(KEEP_H * 3.6e12),
    ) as cell:
        base_s = plan.scan.base_ns / 1e9
        scans = round(hours * 3600 / base_s)
        while cell.cycles < scans:
            left_s = (scans - cell.cycles) * base_s
            cell.run_for(min(STEP_S, left_s))
            samples.append(sample(folder, cell.cycles * base_s / 3600))
            show(samples[-1], cell, time.perf_counter() - begin)
        skipped = cell["sys.skipped"]
        print(f"chain {cell.chain}")
        assert isinstance(cell.mes, ServiceMes)
        cell.run_for(5.0)  # events on their way reach the store
        with cell.mes.store.session() as session:
            found = counts(session)
        figures = cell.plant.figures()
        waiting = figures["arrived"] - figures["good"] - figures["rejected"]
        lost = figures["arrived"] - found.recorded
        print(
            f"blades: {figures['arrived']} arrived, {figures['good']} good, "
            f"{figures['rejected']} rejected, {waiting} in the cell; {found.recorded} recorded, "
            f"{found.duplicates} duplicate serials, {figures['double_marks']} marked twice"
        )
    judged = judge(samples)
    judged += [
        ("skipped ticks", skipped == 0, f"{skipped}"),
        ("scans", cell.cycles >= scans, f"{cell.cycles}"),
        ("blades lost", lost <= waiting, f"{lost} not recorded, {waiting} in the cell"),
        ("marked twice, duplicates", not (found.duplicates or figures["double_marks"]), "0 and 0"),
    ]
    for name, right, figure in judged:
        print(f"{'ok  ' if right else 'FAIL'} {name}: {figure}")
    return 0 if all(right for _, right, _ in judged) else 1


def sample(folder: Path, hours: float) -> Sample:
    """Measure now."""
    own = Footprint.of()
    journal = sum(file.stat().st_size for file in folder.glob(f"{JOURNAL_FILE}*"))
    database = sum(file.stat().st_size for file in folder.glob("mes.db*"))
    return Sample(
        hours,
        own.rss_bytes,
        own.handles,
        own.threads,
        journal,
        Contents.of(folder / RECORDINGS).size_bytes,
        database,
        Contents.of(folder).files,
    )


def show(now: Sample, cell: SimulatedCell, real_s: float) -> None:
    """One line."""
    print(
        f"{now.hours:5.1f} h  {cell.cycles:8d} scans  {cell.plant.figures()['arrived']:6d} blades  "
        f"RSS {now.rss / MIB:6.1f} MiB  {now.handles} handles  {now.threads} threads  "
        f"journal {now.journal / MIB:5.1f}  recordings {now.recordings / MIB:5.1f}  "
        f"database {now.database / MIB:5.1f} MiB  {now.files} files  "
        f"{now.hours * 3600 / real_s:5.1f} x real time",
        flush=True,
    )


def judge(samples: list[Sample]) -> list[tuple[str, bool, str]]:
    """Name, whether the bound held, and the figure; after warm-up."""
    steady = [one for one in samples if one.hours >= min(WARM_UP_H, samples[-1].hours / 4)]
    first, last = steady[0], steady[-1]
    growth = last.rss - first.rss
    rise = slope([(one.hours, one.rss / MIB) for one in steady])
    recordings = max(one.recordings for one in steady)
    journal = max(one.journal for one in steady)
    files = max(one.files for one in steady)
    return [
        (
            "memory after warm-up",
            growth <= RSS_GROWTH,
            f"{first.rss / MIB:.1f} to {last.rss / MIB:.1f} MiB, {rise:+.3f} MiB an hour "
            f"(bound {RSS_GROWTH // MIB} MiB)",
        ),
        (
            "file handles",
            max(one.handles for one in steady) <= first.handles + 2,
            f"{first.handles} to {last.handles}",
        ),
        ("threads", last.threads == first.threads, f"{first.threads} to {last.threads}"),
        (
            "recordings",
            recordings <= RECORDINGS_SIZE,
            f"at most {recordings / MIB:.1f} MiB (bound {RECORDINGS_SIZE // MIB} MiB)",
        ),
        (
            "journal",
            journal <= JOURNAL_SIZE,
            f"at most {journal / MIB:.1f} MiB (bound {JOURNAL_SIZE // MIB} MiB)",
        ),
        ("files", files <= FILES, f"at most {files} (bound {FILES})"),
    ]


if __name__ == "__main__":
    sys.exit(main())
