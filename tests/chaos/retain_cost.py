"""What saving retained values costs the scan: ``make chaos-retain`` runs it at its end.

A cell of 1,000 retained tags at a 1 ms scan, in turns with a tag that changes in every cycle (saves
every 50 ms) and with tags that stand still (none). The difference of the scan's own histograms
is the cost; the turns are interleaved because a machine's mood changes within a minute, and the
scan waits for its ticks awake, so that the wake-ups of the machine are no part of the figures.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cellwright.io.image import Distribution, Image, bucket_low
from cellwright.io.image.command_client import CommandClient
from cellwright.io.journal.retain import RetainStore
from cellwright.io.messages import ResetStatistics, WriteTag
from cellwright.io.plan import Plan
from cellwright.runtime.cell.run_folder import RunFolder
from cellwright.runtime.config import compile_file
from support.small_cell import SmallCell

TAGS = 1000
LIMIT_US = 10.0

CELL = """
cell: {{name: RetainCost, start: run, data: data}}
scan:
  base: 1ms
  watchdog: {{time: 500ms, sensitivity: 3}}
  realtime: {{priority: 80, core: 1, awake: true, spin: 400us}}
tags:
  moves: {{type: BOOL, memory: true, write: [Operator]}}
{tags}
tasks:
  count:
    program: "counting:Counting"
    interval: 1ms
    priority: 1
    watchdog: {{time: 200ms, sensitivity: 3}}
    bind: {{moves: moves}}
"""

PROGRAM = """
from cellwright.tasks.api import BOOL, UDINT, Input, Program, Retained


class Counting(Program):
    moves = Input(BOOL)
    count = Retained(UDINT)

    def scan(self, ctx):
        if self.moves:
            self.count = (self.count + 1) % 2**32
"""


class Turns:
    """The running cell and its histograms."""

    def __init__(self, image: Image, plan: Plan) -> None:
        self._image = image
        self._client = CommandClient(image, timeout_s=10)
        self._store = RetainStore(Path(plan.data))

    def turn(self, *, saving: bool, seconds: float) -> tuple[float, float, int]:
        """p99.9 of start jitter and of execution in us, and how many saves were made."""
        self._client.send(WriteTag(tag="moves", value=saving, actor="cost"))
        time.sleep(0.3)
        before = self._store.load().generation
        self._client.send(ResetStatistics(actor="cost"))
        time.sleep(seconds)
        scan = self._image.statistics.read(-1)
        saves = self._store.load().generation - before
        return within_bucket_us(scan.jitter), within_bucket_us(scan.execution), saves


def within_bucket_us(figures: Distribution) -> float:
    """p99.9 in us, as if the values of its bucket were spread evenly over it.

    A bucket is an eighth of an octave: at 80 us as wide as the limit.
    """
    rank, seen = figures.count * 0.999, 0
    for index, count in enumerate(figures.buckets):
        if count and seen + count >= rank:
            low, high = bucket_low(index), min(bucket_low(index + 1), figures.maximum)
            return (low + (high - low) * (rank - seen) / count) / 1000
        seen += count
    return figures.maximum / 1000


def measure(folder: Path, pairs: int, seconds: float) -> bool:
    """Print the table; True when the median difference is within the limit."""
    cell = SmallCell(folder / "cell", folder / "run")
    tags = "\n".join(
        f"  r{n}: {{type: LREAL, memory: true, retain: true, initial: 0.5}}" for n in range(TAGS)
    )
    cell.file.write_text(CELL.format(tags=tags))
    (cell.folder / "counting.py").write_text(PROGRAM)
    plan = compile_file(cell.file)
    differences = []
    with cell.running():
        (run,) = cell.run.iterdir()
        turns = Turns(Image.attach(RunFolder(run).image, plan), plan)
        for number in range(pairs):
            order = (True, False) if number % 2 else (False, True)
            found = {saving: turns.turn(saving=saving, seconds=seconds) for saving in order}
            with_it, without = found[True], found[False]
            added = sum(with_it[:2]) - sum(without[:2])
            differences.append(added)
            print(
                f"pair {number + 1}: p99.9 start + execution in us: "
                f"{without[0]:.1f} + {without[1]:.1f}, "
                f"{with_it[0]:.1f} + {with_it[1]:.1f} with {with_it[2]} saves "
                f"({without[2]} without): {added:+.1f} us",
                flush=True,
            )
    median = statistics.median(differences)
    print(f"saving adds {median:+.1f} us at p99.9 (median of {pairs} pairs; limit {LIMIT_US:.0f})")
    return median <= LIMIT_US


def main() -> int:
    """0 when saving costs the scan no more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="retain-cost-") as folder:
        return int(not measure(Path(folder), given.pairs, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
