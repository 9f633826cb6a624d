"""Kills while values are saved: ``make chaos-retain`` (``KILLS=10000 CELLS=200 SEED=...``).

First a writer process with the real `RetainStore` on a real disk is killed at random instants, then
whole cells are, all processes at once. Exit code 1 when a file was torn without a good other one, a
finished save was lost, or a cell lost more than 100 ms of its counter.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellwright.io.image import Image
from cellwright.io.journal import retain
from cellwright.io.journal.retain import RetainedValue, RetainStore, fit
from cellwright.io.plan import Code, TagType
from cellwright.io.process_image.process_image import ProcessImage
from chaos.chaos_tools import StallMonitor, steal_ms, within
from chaos.fault_bench import FaultBench
from support.victims import Victim

LAYOUT = bytes(range(32))
LOST_MS = 100.0
RESTORE_MS = 50.0
CYCLE_MS = 10.0
KIND = TagType(Code.LINT)
STEPS = ("between saves", "open", "pwrite", "ftruncate", "fsync", "close")


class Witness:
    """Two words of memory that outlive the writer: the last save it finished, and its step."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def finished(self, number: int) -> None:
        """This save is done."""
        self._memory[:8] = number.to_bytes(8, "little")

    def step(self, number: int) -> None:
        """The writer is in that of `STEPS`."""
        self._memory[8] = number

    @property
    def last(self) -> int:
        """The last save that was finished."""
        return int.from_bytes(self._memory[:8], "little")

    @property
    def at(self) -> str:
        """Where the writer was killed."""
        return STEPS[self._memory[8]]


class WatchedSystem:
    """The module ``os`` as `cellwright.io.journal.retain` uses it; notes each step beforehand.

    With ``last`` the process kills itself in that step of one of its first saves, in the middle
    of the data where it writes: steps of microseconds are never hit from outside.
    """

    def __init__(self, witness: Witness, chance: random.Random, last: str = "") -> None:
        self._witness = witness
        self._chance = chance
        self._last = last

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        if name not in STEPS:
            return call

        def noted(*arguments: Any) -> Any:
            self._witness.step(STEPS.index(name))
            if name == self._last and self._chance.random() < 0.5:
                if name == "pwrite":
                    file, data, at = arguments
                    call(file, data[: self._chance.randrange(len(data) + 1)], at)
                elif self._chance.random() < 0.5:
                    call(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments)
            if name == "close":
                self._witness.step(0)
            return result

        return noted


def numbered(number: int, tags: int) -> dict[str, RetainedValue]:
    """A set that is whole only if all its parts are of the same save."""
    return {f"tag{place}": RetainedValue(KIND, number) for place in range(tags + number % 7)}


@dataclass
class Torn:
    """What the kills of a writer have left."""

    kills: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    """Kills that left the file being written damaged; the other one was whole."""
    wrong: list[str] = field(default_factory=list)


def kill_writers(kills: int, folder: Path, chance: random.Random) -> Torn:
    """Kill a writer so often; each goes on from what its predecessor left."""
    found, witness, last = Torn(), Witness(), 0
    while found.kills < kills:
        tags = chance.choice((40, 40, 400, 10_000))
        witness.finished(last)
        witness.step(0)

        own = chance.choice(STEPS[1:]) if chance.random() < 0.3 else ""
        seed = chance.random()

        def save(
            first: int = last + 1, tags: int = tags, own: str = own, seed: float = seed
        ) -> None:
            system = WatchedSystem(witness, random.Random(seed), own)
            retain.os = system  # type: ignore[assignment]
            store = RetainStore(folder)
            for number in range(first, first + 1_000_000):
                store.save(numbered(number, tags), LAYOUT)
                witness.finished(number)

        writer = Victim(save)
        if own:
            os.waitpid(writer.pid, 0)
        else:
            time.sleep(chance.random() * 0.012)
            writer.kill()
        found.kills += 1
        if found.kills % 1000 == 0:
            print(f"{found.kills} kills, {len(found.wrong)} wrong", flush=True)
        found.steps[witness.at] += 1
        restored = RetainStore(folder).load()
        found.damaged += bool(restored.notes)
        numbers = {saved.value for saved in restored.values.values()}
        number = next(iter(numbers), 0)
        assert isinstance(number, int)
        if len(numbers) > 1:
            found.wrong.append(f"kill {found.kills}: values of {len(numbers)} saves are mixed")
        elif not numbers and witness.last:
            found.wrong.append(f"kill {found.kills}: nothing is left; {restored.notes}")
        elif not witness.last <= number <= witness.last + 1:
            found.wrong.append(
                f"kill {found.kills}: save {number} came back, {witness.last} was finished"
            )
        last = number
    return found


@dataclass
class Lost:
    """What the kills of whole cells have cost."""

    ms: list[float] = field(default_factory=list)
    stalled: list[float] = field(default_factory=list)
    """The same where the machine itself stood still just before."""
    wrong: list[str] = field(default_factory=list)


def kill_cells(kills: int, folder: Path, monitor: StallMonitor, chance: random.Random) -> Lost:
    """Kill all processes of a running cell at once, so often; its program counts each cycle."""
    found = Lost()
    with FaultBench(folder / "cell") as cell:
        for number in range(1, kills + 1):
            cell.recover()
            # At least two saves, and then any instant of the next ones.
            time.sleep(0.15 + chance.random() * 0.15)
            pids = [slot.pid for slot in cell.image.processes.values() if slot.pid]
            tag = cell.plan.tag("faults.executions").index
            reader = cell.image.snapshot_reader()
            at_ns = time.monotonic_ns()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            # The image outlives its writers: the last value that anybody can have seen.
            cell.reap()
            reader.read()
            seen = reader.value(tag)
            cell.forget()
            restored = RetainStore(cell.data).load()
            saved = restored.values.get("faults.executions")
            if saved is None or not isinstance(seen, int) or not isinstance(saved.value, int):
                found.wrong.append(f"the counter is gone: {restored.notes}")
            else:
                lost_ms = (seen - saved.value) * CYCLE_MS
                stalls = within(monitor.stalls(), at_ns - 200_000_000, at_ns)
                (found.stalled if stalls else found.ms).append(lost_ms)
            if number % 20 == 0:
                print(f"{number} cells, worst {max(found.ms, default=0):.0f} ms", flush=True)
            cell.launch()
    return found


def restore_ms(folder: Path) -> tuple[float, float]:
    """Ten thousand tags from the disk into a process image: best and median of 21, ms.

    The best is what this machine needs when nobody else is at work on it.
    """
    from support.plans import make_plan, make_tag  # noqa: PLC0415 - only this needs the tests' plans

    names = [f"area.tag{place}" for place in range(10_000)]
    plan = make_plan([make_tag(name, "LREAL", retain=True) for name in names])
    kind = TagType(Code.LREAL)
    RetainStore(folder).save(
        {name: RetainedValue(kind, place / 3) for place, name in enumerate(names)},
        plan.layout_hash,
    )
    image = ProcessImage(Image.create(folder / "image", plan, "0123abcd"), plan)
    types = dict.fromkeys(names, kind)
    taken = []
    for _ in range(21):
        begin = time.perf_counter()
        fitted = fit(RetainStore(folder).load(), types, plan.layout_hash)
        image.restore(fitted.values)
        taken.append((time.perf_counter() - begin) * 1000)
        assert len(fitted.values) == len(names)
    return min(taken), statistics.median(taken)


def main() -> int:
    """Run both parts and the measurement; 0 when nothing was torn or lost beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10_000, help="kills of a writer")
    parser.add_argument("--cells", type=int, default=200, help="kills of a whole cell")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    chance, stolen, begin = random.Random(seed), steal_ms(), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-retain-"))
    (folder / "store").mkdir()
    print(f"seed {seed}; folder {folder}", flush=True)
    wrong = []
    try:
        if given.kills:
            torn = kill_writers(given.kills, folder / "store", chance)
            wrong += torn.wrong
            print(
                f"{torn.kills} kills of a writer: {len(torn.wrong)} wrong, {torn.damaged} "
                f"half-written files beside a whole one; killed in: {dict(torn.steps)}",
                flush=True,
            )
        if given.cells:
            with StallMonitor(folder) as monitor:
                lost = kill_cells(given.cells, folder, monitor, chance)
            wrong += lost.wrong
            ms = sorted(lost.ms) or [0.0]
            too_much = [one for one in ms if one > LOST_MS]
            wrong += [f"{one:.0f} ms lost" for one in too_much]
            print(
                f"{given.cells} kills of a whole cell: lost p50 {ms[len(ms) // 2]:.0f} ms, p99 "
                f"{ms[int(len(ms) * 0.99)]:.0f} ms, worst {ms[-1]:.0f} ms, {len(too_much)} beyond "
                f"{LOST_MS:.0f} ms; machine stalled in {len(lost.stalled)} more, worst "
                f"{max(lost.stalled, default=0):.0f} ms; {len(lost.wrong)} without a value"
            )
        restored, median = restore_ms(folder / "store")
        print(
            f"10,000 tags restored in {restored:.1f} ms at best, {median:.1f} ms median of 21; "
            f"limit {RESTORE_MS:.0f} ms on a quiet machine"
        )
        for line in wrong:
            print("WRONG:", line)
        print(f"{time.monotonic() - begin:.0f} s, steal {steal_ms() - stolen} ms")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(wrong) or restored > RESTORE_MS)


if __name__ == "__main__":
    sys.exit(main())
