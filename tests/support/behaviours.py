"""What a controls engineer may rely on, and the page that names the test of each.

A test that proves a behaviour carries ``@pytest.mark.behaviour(number)``. Run as a program
(``python tests/support/behaviours.py docs/reference``) it reads the test files, without importing
them, and writes ``behaviours.md``.
"""

from __future__ import annotations

import argparse
import ast
import functools
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parents[1]
PAGE: Final = "behaviours.md"

BEHAVIOURS: Final = (
    "The cell is always in one of a few operating states, and leaves one only by a command that "
    "names who gave it and why. In PAUSE the tasks stand still and inputs and outputs go on. After "
    "a fault or a crash nothing goes to RUN by itself.",
    "A cold start gives every value its initial one, a warm start keeps what is retained, a hot "
    "start goes on where the tasks stood. A start out of STOP makes the programs anew; going on "
    "after PAUSE does not.",
    "A task is told which of its executions is the first after a start and which is the last "
    "before a stop.",
    "Each output declares what it does in the safe state: a value, hold, or off. It gets there "
    "when the cell is stopped, a watchdog trips, a task fails, the scan or a driver is killed or "
    "stopped, or the disk is full; whatever still lives sees to it.",
    "Each task has a watchdog with a time and a number of trips in a row, and executions that "
    "were left out are noticed. The heartbeat of the scan is watched by other processes as well.",
    "What a late task does is declared: leave out what was missed and stay in phase, run once "
    "late, or fault the cell. The beat never drifts: ticks that ran and ticks that were skipped "
    "are together those that have elapsed.",
    "Tasks run at an interval with a phase, on the edge of a tag, or in the time that is left. "
    "Within a cycle the more urgent one runs first. Long work is done by a worker process, whose "
    "result is latched like an input.",
    "Cycles, overruns, skipped ticks, watchdog trips, start jitter and execution times are "
    "counted for the scan and for each task, with percentiles; they go back to zero by command "
    "and not otherwise.",
    "A force stands above device and program until it is released, one or all. It is listed, a "
    "tag says that forces are active, and the audit names who forced. A write is no force.",
    "Each tag has a quality and the time of its source. A read that failed is never a zero of "
    "good quality, and quality follows a value through the tasks where the author asks for it.",
    "What becomes of an input when its device is lost is declared for the device or the tag: hold "
    "the last value, take a substitute, or fault the cell.",
    "A device that is gone is asked again less and less often and never holds up a healthy one. "
    "Its loss and its return are logged once each.",
    "Two writers of one output, addresses that overlap, tags that are unknown or have no place "
    "are refused before anything moves, with file, line and column. Who writes and who reads a "
    "tag is a command.",
    "A value wider than a word is never torn, in memory or on the wire. The order of its bytes "
    "and words is an option.",
    "Timers count scan time, which is the same for all tasks of a cycle. A jump of the wall clock "
    "changes nothing.",
    "System tags tell cycle number, first scan, clock bits, load, first fault, forces, simulation "
    "and which of the processes beside the scan live.",
    "Retained values outlive a power failure at any moment: two files with a checksum, written "
    "beside the scan and read before its first cycle. Where the layout has changed, what fits is "
    "kept and the rest is named.",
    "A mode as of a keyswitch (RUN, STOP, REMOTE) decides whether a start from elsewhere is taken.",
    "Heartbeats go to devices and come from them. Alarms are acknowledged, and the first of a row "
    "is told as the first.",
    "The same programs run unchanged in simulated time, at any speed, and in a replay, which "
    "gives the recorded outputs bit for bit.",
    "At its start the runtime looks at what the machine grants it: scheduler, memory, cores, "
    "clock, kernel. What is missing is a tag and a line of the status.",
    "A changed program takes the place of the old one between two cycles and goes on with its "
    "values, or is refused as a whole with the reason.",
)
"""Behaviour 1 is the first."""


@dataclass(frozen=True)
class Mark:
    """One test that says it proves a behaviour."""

    number: int
    test: str
    file: Path
    line: int


class MarkError(ValueError):
    """A marker that cannot be understood; the sentence names its place."""


@functools.cache
def marks(folder: Path = TESTS) -> list[Mark]:
    """All marks in the test files below ``folder``, in order of file and line.

    Raises MarkError for arguments that are not whole numbers written out.
    """
    found = []
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    found += [
                        Mark(number, node.name, file, decorator.lineno)
                        for number in _numbers(decorator, file)
                    ]
    return sorted(found, key=lambda mark: (mark.file, mark.line, mark.number))


def _numbers(decorator: ast.expr, file: Path) -> list[int]:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    if ast.unparse(target) != "pytest.mark.behaviour":
        return []
    arguments = decorator.args if isinstance(decorator, ast.Call) else []
    numbers = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
    if not numbers or len(numbers) != len(arguments) or not all(type(n) is int for n in numbers):
        raise MarkError(
            f"{file}:{decorator.lineno}: '{ast.unparse(decorator)}' does not name a behaviour; "
            "write its number, as in @pytest.mark.behaviour(6)"
        )
    return numbers  # type: ignore[return-value]


def unknown(found: Sequence[Mark]) -> list[str]:
    """A sentence for each mark whose number no behaviour has."""
    return [
        f"{mark.file}:{mark.line}: there is no behaviour {mark.number}; "
        f"they are numbered 1 to {len(BEHAVIOURS)}"
        for mark in found
        if not 1 <= mark.number <= len(BEHAVIOURS)
    ]


def page(found: Sequence[Mark], tests: Path = TESTS) -> str:
    """The page as Markdown, for ``docs/reference``."""
    by_number: dict[int, list[Mark]] = defaultdict(list)
    for mark in found:
        by_number[mark.number].append(mark)
    lines = [
        "# What may be relied on, and the tests that prove it",
        "",
        "Each line is a behaviour of the runtime. The tests beside it are marked with its number",
        "(`@pytest.mark.behaviour`); `make test ARGS='-m behaviour'` runs them all. This page is",
        "written by `make docs`.",
        "",
        "| | behaviour | test | file |",
        "|---|---|---|---|",
    ]
    for number, sentence in enumerate(BEHAVIOURS, 1):
        rows = [
            (f"`{mark.test}`", f"[{name}](../../tests/{name})")
            for mark in by_number[number]
            for name in [mark.file.relative_to(tests).as_posix()]
        ] or [("no test yet", "")]
        for place, (test, file) in enumerate(rows):
            first = (str(number), sentence) if place == 0 else ("", "")
            lines.append(f"| {first[0]} | {first[1]} | {test} | {file} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page into a folder; 1 when that is not possible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="docs/reference")
    path: Path = parser.parse_args(arguments).folder / PAGE
    try:
        found = marks()
        if wrong := unknown(found):
            raise MarkError("\n".join(wrong))
        path.write_text(page(found), encoding="utf-8")
    except MarkError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"cannot write {path}: {error.strerror}; name a folder that is there", file=sys.stderr
        )
        return 1
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
