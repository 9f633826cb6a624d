"""The built-in cell of ``cellwright latency``: 1,000 tags and three tasks, without devices.

A bank of 50 control loops at the base interval, interlocks at five times it, counting and texts at
ten times it: about what a marking cell of some size does. Only the measurement uses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cellwright.io.plan import SYSTEM_TAGS
from cellwright.runtime.config.sections.durations import show_duration
from cellwright.tasks.api import BOOL, REAL, STRING, UDINT, Input, Output, Program, ScanContext

TAGS: Final = 1000
PROGRAMS: Final = "latency_programs"
"""Module beside the cell's file; a cell finds its programs there."""
LOOPS: Final = 50
INTERLOCKS: Final = 100
GAIN: Final = 2.0
INTEGRAL_TIME_S: Final = 0.5
LAG_S: Final = 0.2
"""The plants of the loops are first-order lags, worked out beside the controllers."""


def _bank() -> dict[str, Any]:
    return {
        f"{name}{number}": kind(REAL, initial=initial)
        for number in range(LOOPS)
        for name, kind, initial in (
            ("setpoint", Input, 50.0),
            ("measured", Output, 0.0),
            ("output", Output, 0.0),
        )
    }


def _scan_bank(self: Any, ctx: ScanContext) -> None:
    """Fifty PI controllers with anti-windup, each with its plant."""
    if ctx.first_scan:
        self.integrals = [0.0] * LOOPS
        self.before_ns = ctx.now_ns
    elapsed_s = (ctx.now_ns - self.before_ns) / 1e9
    self.before_ns = ctx.now_ns
    for number in range(LOOPS):
        measured = getattr(self, f"measured{number}")
        error = getattr(self, f"setpoint{number}") - measured
        wanted = GAIN * error + self.integrals[number]
        output = min(100.0, max(0.0, wanted))
        if output == wanted:
            self.integrals[number] += GAIN * error * elapsed_s / INTEGRAL_TIME_S
        setattr(self, f"output{number}", output)
        setattr(self, f"measured{number}", measured + (output - measured) * elapsed_s / LAG_S)


Bank: Final[type[Program[Any]]] = type(
    "Bank",
    (Program,),
    {"__doc__": "Fifty loops.", "scan": _scan_bank, "integrals": (), "before_ns": 0, **_bank()},
)


def _interlocks() -> dict[str, Any]:
    return {
        f"{name}{number}": kind(BOOL)
        for number in range(INTERLOCKS)
        for name, kind in (("request", Input), ("release", Output))
    }


def _scan_interlocks(self: Any, ctx: ScanContext) -> None:
    """Each release follows its request while its neighbour has none."""
    allowed = True
    for number in range(INTERLOCKS):
        request = getattr(self, f"request{number}")
        setattr(self, f"release{number}", request and allowed)
        allowed = not request


Interlocks: Final[type[Program[Any]]] = type(
    "Interlocks",
    (Program,),
    {"__doc__": "A hundred interlocks.", "scan": _scan_interlocks, **_interlocks()},
)


class Counting(Program[Any]):
    """Counts its runs and tells them as a text."""

    runs = Output(UDINT)
    label = Output(STRING(32))

    def scan(self, ctx: ScanContext) -> None:
        """One more."""
        self.runs = (self.runs + 1) % 2**32
        if self.runs % 100 == 0:
            self.label = f"run {self.runs}"


def write_cell(folder: Path, base_ns: int) -> Path:
    """Write the cell into a folder and return its file."""
    (folder / f"{PROGRAMS}.py").write_text(
        f"from {__name__} import Bank, Counting, Interlocks\n",
        encoding="utf-8",
    )
    file = folder / "cell.yaml"
    file.write_text(_cell_text(base_ns), encoding="utf-8")
    return file


def _cell_text(base_ns: int) -> str:
    """Memory tags that nobody writes fill it up to `TAGS`."""
    used = 3 * LOOPS + 2 * INTERLOCKS + 2 + len(SYSTEM_TAGS)
    kinds = ("REAL", "BOOL", "INT", "DINT", "REAL")
    lines = [
        "cell: {name: LatencyBench}",
        f"scan: {{base: {show_duration(base_ns)}}}",
        "tags:",
        *(
            f"  spare{number}: {{type: {kinds[number % len(kinds)]}, memory: true}}"
            for number in range(TAGS - used)
        ),
        "tasks:",
    ]
    tasks = (("bank", "Bank", 1), ("interlocks", "Interlocks", 5), ("counting", "Counting", 10))
    for priority, (task, program, times) in enumerate(tasks):
        interval = show_duration(times * base_ns)
        lines.append(
            f"  {task}: {{program: '{PROGRAMS}:{program}', interval: {interval}, "
            f"priority: {priority}}}"
        )
    return "\n".join(lines) + "\n"
