"""Tasks that only note when they run, on the bench: which ran, in which cycle, in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellwright.tasks.api import Program, ProgramOptions, ScanContext
from support.plans import make_tag
from support.scan_bench import MS, Bench, coupler, input_bit, program


class Log:
    """Which tasks ran in which cycle, in their order; a task takes as long as ``takes`` says."""

    def __init__(self) -> None:
        self.ran: list[tuple[int, str]] = []
        self.takes: dict[str, int] = {}
        self.bench: Bench

    def program(self) -> type[Program[ProgramOptions]]:
        """The class of all tasks."""

        def scan(_: Any, ctx: ScanContext) -> None:
            self.ran.append((ctx.cycle, ctx.task))
            self.bench.clock.advance(self.takes.get(ctx.task, 0))

        return program(scan)

    def names(self) -> list[str]:
        """Since the last call, without cycles."""
        names = [name for _, name in self.ran]
        self.ran.clear()
        return names


def noting_cell(folder: Path, timing: dict[str, dict[str, Any]], **takes: int) -> tuple[Bench, Log]:
    """A cell of tasks that only note that they run; ``go`` is a tag that a command writes."""
    log = Log()
    log.takes = takes
    kind = log.program()
    tags = [make_tag("go", "BOOL", write=("Operator",)), input_bit("part", 0)]
    bench = Bench(folder, tags, dict.fromkeys(timing, kind), timing=timing, devices=[coupler()])
    log.bench = bench
    return bench, log


def event_task(**fields: Any) -> dict[str, Any]:
    """Runs on an edge of the input ``part``."""
    return {"interval_ns": 0, "event": 1, **fields}


def free_task(watchdog_ns: int = 2 * MS, **fields: Any) -> dict[str, Any]:
    """Runs in the slack."""
    return {"interval_ns": 0, "freewheeling": True, "watchdog_ns": watchdog_ns, **fields}
