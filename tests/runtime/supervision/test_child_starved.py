"""A process that gets no core is slow, not hanging: it is left alone until it had its chance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cellwright.runtime.supervision.child import FIRST_BEAT_NS, Child, CoreWait

LIMIT_NS = 200_000_000
LOOP = "while True: pass"


@contextmanager
def spinning(core: int, *, idle: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process that wants one core all the time; ``idle``: only when nobody else wants it."""
    with subprocess.Popen([sys.executable, "-c", LOOP]) as process:
        try:
            os.sched_setaffinity(process.pid, {core})
            if idle:
                os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
            yield process
        finally:
            process.kill()


def silent(process: subprocess.Popen[bytes], *, beaten: bool = True) -> Child:
    """A child that has given its last sign of life just now."""
    child = Child("gateway", "module", (), LIMIT_NS, popen=process)
    child.working_since = 1.0 if beaten else None
    return child


def hangs_after(child: Child, seconds: float) -> bool:
    """What the supervisor finds when it looks again and again for so long."""
    heard_ns = time.monotonic_ns()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.hangs(heard_ns, time.monotonic_ns()):
            return True
        time.sleep(0.01)
    return False


def test_a_silent_process_that_gets_no_core_is_not_taken_for_a_hanging_one() -> None:
    core = min(os.sched_getaffinity(0))
    with spinning(core, idle=True) as starved, spinning(core):
        time.sleep(0.1)
        wait = CoreWait(starved.pid, time.monotonic_ns())
        assert not hangs_after(silent(starved), 4 * LIMIT_NS / 1e9)
        assert wait.look(time.monotonic_ns()) > 2 * LIMIT_NS


def test_a_silent_process_that_runs_hangs() -> None:
    with spinning(min(os.sched_getaffinity(0))) as process:
        # However busy the PC is: sooner or later it has had its limit on a core.
        assert hangs_after(silent(process), 60)


def test_a_silent_process_that_is_stopped_hangs() -> None:
    with spinning(min(os.sched_getaffinity(0))) as process:
        process.send_signal(signal.SIGSTOP)
        assert hangs_after(silent(process), 4 * LIMIT_NS / 1e9)


def test_before_its_first_beat_a_process_has_a_minute() -> None:
    with spinning(min(os.sched_getaffinity(0))) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        child = silent(process, beaten=False)
        assert not child.hangs(0, LIMIT_NS * 2)
        assert not child.hangs(0, FIRST_BEAT_NS - 1)
        assert child.hangs(0, FIRST_BEAT_NS + 1_000_000_000)


def test_a_process_that_is_gone_has_waited_for_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert CoreWait(process.pid, 0).look(LIMIT_NS) == 0
