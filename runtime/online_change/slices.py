"""Runs Python code in turns with the beat: only in the time that a cycle leaves, line by line.

The scan process loads changed programs with it. The code runs in a thread of its own, which stands
still at a line of Python whenever its time is over, so that it never holds the interpreter while a
cycle runs; only a single call into C can keep it longer.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

STACK_BYTES: Final = 1 << 20
"""The scan's memory is locked: a stack of the usual size would have to be there as a whole."""


class CancelledError(BaseException):
    """Raised in the code, at a line, when nobody wants its result any more."""


class StillRunsError(Exception):
    """Code that was given up has not come to a line since."""


@dataclass
class _Run(Generic[T]):
    work: Callable[[], T]
    enter: Callable[[], None]
    leave: Callable[[], None]


class Slices(Generic[T]):
    """A thread for code that runs in turns, one piece of code after another.

    It is made beforehand, by the thread of the beat and as urgent as that: a thread that is less
    urgent and is kept from its core in the middle of a line would keep the beat waiting, too.
    Not for code that must not be traced: the thread's trace function is ours.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._until_ns = 0
        self._go = threading.Lock()
        self._rest = threading.Lock()
        self._go.acquire()
        self._rest.acquire()
        self._moving = False
        """It was let go and has not come to rest since."""
        self._cancelled = False
        self._run: _Run[T] | None = None
        self.done = True
        self._results: list[T] = []
        self.error: Exception | None = None
        """What the code raised."""
        policy = os.sched_getscheduler(0), os.sched_getparam(0)
        before = threading.stack_size(STACK_BYTES)
        try:
            self._thread = threading.Thread(
                target=self._live, args=policy, name="online-change", daemon=True
            )
            self._thread.start()
        finally:
            threading.stack_size(before)
        self._rest.acquire()

    def begin(
        self, work: Callable[[], T], enter: Callable[[], None], leave: Callable[[], None]
    ) -> None:
        """Lay down code for the next steps; ``enter`` and ``leave`` are called around turns.

        Raises StillRunsError.
        """
        if self._moving and not self._rest.acquire(blocking=False):
            raise StillRunsError("code that was given up has not ended")
        self._moving = self._cancelled = self.done = False
        self.error = None
        self._run = _Run(work, enter, leave)

    def step(self, until_ns: int, latest_ns: int) -> bool:
        """Let the code go on until a time of the clock; True when it is over.

        Comes back at ``latest_ns`` also when the code is still in a call that does not end.
        """
        if self.done and not self._moving:
            return True
        self._until_ns = until_ns
        if not self._moving:
            self._moving = True
            self._go.release()
        wait_s = (latest_ns - self._now_ns()) / 1e9
        if self._rest.acquire(timeout=max(0.0, wait_s)):
            self._moving = False
        return self.done and not self._moving

    @property
    def result(self) -> T:
        """What the code gave; only when it is over and raised nothing."""
        return self._results[0]

    def at_once(self, action: Callable[[], None]) -> None:
        """Called by the code: do something within one turn."""
        sys.settrace(None)
        try:
            action()
        finally:
            sys.settrace(self._trace)

    def cancel(self) -> None:
        """Have the code end at its next line; does not wait for it."""
        self._cancelled = True
        self._until_ns = 0
        if not self._moving and not self.done:
            self._moving = True
            self._go.release()

    def forget(self) -> None:
        """Let go of the code that is over, its result and its error."""
        if self.done and not self._moving:
            self._run = None
            self._results.clear()
            self.error = None

    def close(self) -> None:
        """End the thread; waits for code that has not ended."""
        self.cancel()
        if self._moving:
            self._rest.acquire()
            self._moving = False
        self._run = None
        self._go.release()
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------

    def _live(self, policy: int, parameter: os.sched_param) -> None:
        # Without the right to it the beat is not urgent either.
        with suppress(PermissionError):
            os.sched_setscheduler(0, policy, parameter)
        self._rest.release()
        while True:
            self._go.acquire()
            run = self._run
            if run is None:
                return
            if not self._cancelled:
                self._turn(run)
            self.done = True
            del run  # it may be days to the next one
            self._rest.release()

    def _turn(self, run: _Run[T]) -> None:
        run.enter()
        try:
            sys.settrace(self._trace)
            try:
                self._results = [run.work()]
            finally:
                sys.settrace(None)
        except CancelledError:
            pass
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's module
            self.error = error if isinstance(error, Exception) else _exit(error)
        run.leave()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self._now_ns() >= self._until_ns:
            run = self._run
            assert run is not None
            run.leave()
            self._rest.release()
            self._go.acquire()
            run.enter()
            if self._cancelled:
                raise CancelledError
        return self._trace


def _exit(error: SystemExit) -> Exception:
    return RuntimeError(repr(error)).with_traceback(error.__traceback__)
