"""What every process of a cell does first: join the run folder, log, heed signals, tie its life.

Each process module calls `join` once and gives its beat by `Membership.beat`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

import structlog

from cellwright.io.image import Image, ProcessSlot
from cellwright.io.plan import Plan
from cellwright.io.timing.clock import Clock, MonotonicClock
from cellwright.runtime.cell import logs
from cellwright.runtime.cell.run_folder import RunFolder


@dataclass
class Membership:
    """A process's place in a running cell."""

    name: str
    folder: RunFolder
    plan: Plan
    image: Image
    slot: ProcessSlot
    clock: Clock
    stop: threading.Event
    supervisor: int

    def beat(self) -> None:
        """Tell the supervisor that this process is alive and gets on."""
        self.slot.beat_ns = self.clock.now_ns()

    def supervisor_alive(self) -> bool:
        """False once the supervisor that started this process is gone."""
        return os.getppid() == self.supervisor

    def should_stop(self) -> bool:
        """True after a request to stop, or when nobody supervises any more."""
        return self.stop.is_set() or not self.supervisor_alive()


def join(
    arguments: Sequence[str] | None,
    name: Callable[[argparse.Namespace], str],
    *options: str,
) -> tuple[Membership, argparse.Namespace]:
    """Parse the command line, attach to plan and image, set up logs and signals.

    It gives no beat: until the first one the supervisor grants the time that a start takes.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, required=True, help="run folder of the cell")
    for option in options:
        parser.add_argument(option, required=True)
    parsed = parser.parse_args(arguments)
    folder = RunFolder(parsed.run)
    plan, image = folder.attach()
    # Not simply the parent: who is orphaned while it still starts has another one by now.
    supervisor = image.processes["supervisor"].pid or os.getppid()
    process = name(parsed)
    logs.configure(process, Path(plan.data) / "log", make=False)

    def on_end(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        # The trace belongs into the log; the console shows what the supervisor's line lacks.
        structlog.get_logger(__name__).critical("process fails", exc_info=(kind, error, trace))
        sys.stderr.write(f"{process}: {kind.__name__}: {error}\n")

    sys.excepthook = on_end
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    # Ctrl-C reaches the whole terminal group; the supervisor alone decides the order of stopping.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # So does the end of the terminal: a driver that it killed would leave its outputs as they are.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    membership = Membership(
        process,
        folder,
        plan,
        image,
        image.processes[process],
        MonotonicClock(),
        stop,
        supervisor,
    )
    return membership, parsed
