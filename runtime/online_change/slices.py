"""Runs Python code in turns with the beat: only in the time that a cycle leaves, line by line.

The scan process loads changed programs with it. The code runs in a thread of its own, which stands
still at a line of Python whenever its time is over, so that it never holds the interpreter while a
cycle runs. A call into C cannot be made to stand still: one that lets go of the interpreter (a
sleep, a slow disk) may last as long as it likes, one that holds it makes the beat late, which is
why `rehearsal` looks for those beforehand.
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
LOOKS: Final = 10
"""Into how many waits a patience is divided: a computer that stood still has cost one of them."""
_LOCKS: Final = frozenset({"importlib._bootstrap", "logging", "threading"})
"""Modules whose lines hold locks that a running program may want: no rest there."""


class CancelledError(BaseException):
    """Raised in the code, at a line, when nobody wants its result any more."""


class StillRunsError(Exception):
    """Code that was given up has not come to a line since."""


class InTheWayError(Exception):
    """Code that was given up because the beat did not come back while it stood still."""


@dataclass
class _Run(Generic[T]):
    work: Callable[[], T]
    enter: Callable[[], None]
    leave: Callable[[], None]


class Slices(Generic[T]):
    """A thread for code that runs in turns, one piece of code after another.

    It is made beforehand, by the thread of the beat and as urgent as that: a thread that is less
    urgent and is kept from its core in the middle of a line would keep the beat waiting, too.
    Not for code that must not be traced: the thread's trace function is ours. Files that begin
    with ``own`` are watched within a line, too. Code that stands still and holds a lock which
    the beat waits for is given up after ``patience_ns`` without a step; 0 means never.
    """

    def __init__(self, now_ns: Callable[[], int], *, own: str = "", patience_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._own = own
        self._patience_s = patience_ns / 1e9
        self._until_ns = 0
        self._go = threading.Lock()
        self._rest = threading.Lock()
        self._door = threading.Lock()
        """Held to let the code in or out, and to decide who moves next."""
        self._go.acquire()
        self._rest.acquire()
        self._inside = False
        """``enter`` was called and not yet ``leave``."""
        self._moving = False
        """It was let go and has not come to rest since."""
        self._cancelled = False
        self._in_the_way = False
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

        The beat calls ``leave`` itself when the code is still in a call at the end of a turn.
        Raises StillRunsError.
        """
        if self._moving and not self._rest.acquire(blocking=False):
            raise StillRunsError("code that was given up has not ended")
        self._moving = self._cancelled = self._in_the_way = self.done = False
        self.error = None
        self._results = []
        self._run = _Run(work, enter, leave)

    def step(self, until_ns: int, latest_ns: int) -> bool:
        """Let the code go on until a time of the clock; True when it is over.

        Comes back at ``latest_ns`` also when the code is still in a call that does not end.
        """
        if self._moving and self._rest.acquire(blocking=False):
            self._moving = False
        if self.done and not self._moving:
            return True
        self._until_ns = until_ns
        with self._door:
            if not self._moving:
                self._moving = True
                self._go.release()
        wait_s = (latest_ns - self._now_ns()) / 1e9
        if self._rest.acquire(timeout=max(0.0, wait_s)):
            self._moving = False
        else:
            self._let_out()
        return self.done and not self._moving

    @property
    def result(self) -> T:
        """What the code gave; only when it is over and raised nothing."""
        return self._results[0]

    @property
    def traced(self) -> bool:
        """Asked by the code: it can still be made to stand still."""
        return sys.gettrace() == self._trace

    def at_once(self, action: Callable[[], None]) -> None:
        """Called by the code: do something within one turn."""
        sys.settrace(None)
        try:
            with self._door:
                action()
        finally:
            sys.settrace(self._trace)

    def cancel(self) -> None:
        """Have the code end at its next line; does not wait for it."""
        with self._door:
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

    # --- in and out -------------------------------------------------------------------------------

    def _let_in(self) -> bool:
        """False when the turn is over by now."""
        run = self._run
        assert run is not None
        with self._door:
            if self._now_ns() >= self._until_ns:
                return False
            if not self._inside:
                run.enter()
                self._inside = True
        return True

    def _let_out(self) -> None:
        run = self._run
        assert run is not None
        with self._door:
            if self._inside:
                run.leave()
                self._inside = False

    # --- the thread -------------------------------------------------------------------------------

    def _live(self, policy: int, parameter: os.sched_param) -> None:
        # Without the right to it the beat is not urgent either.
        with suppress(PermissionError):
            os.sched_setscheduler(0, policy, parameter)
        self._rest.release()
        while True:
            self._go.acquire()
            if self._run is None:
                return
            if not self._cancelled:
                self._turn(self._run)
            self.done = True
            self._rest.release()

    def _turn(self, run: _Run[T]) -> None:
        try:
            while not self._let_in():
                self._stand_still()
            sys.settrace(self._trace)
            try:
                self._results = [run.work()]
            finally:
                sys.settrace(None)
        except BaseException as error:  # noqa: BLE001 - an author's module raises what it likes
            if not self._cancelled:
                self.error = error if isinstance(error, Exception) else _exit(error)
        if self._in_the_way:
            self.error = InTheWayError("the running programs waited for a lock that it held")
        self._let_out()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call" and frame.f_code.co_filename.startswith(self._own):
            # What comes after a call in the same line must not go on outside, either, and an
            # endless loop may be less than a line.
            frame.f_trace_opcodes = True
        if self._inside and self._now_ns() < self._until_ns:
            return self._trace
        if (self._inside or self._cancelled) and frame.f_globals.get("__name__") in _LOCKS:
            return self._trace
        while not self._let_in():
            self._let_out()
            if self._cancelled:
                raise CancelledError
            self._stand_still()
        return self._trace

    def _stand_still(self) -> None:
        """Until the next turn; raises CancelledError when there is none any more."""
        self._rest.release()
        if not self._patience_s:
            self._go.acquire()
        elif not any(self._go.acquire(timeout=self._patience_s / LOOKS) for _ in range(LOOKS)):
            with self._door:
                if not self._go.acquire(blocking=False):
                    # As if it had been let go: the end is told like any other.
                    self._rest.acquire(blocking=False)
                    self._moving = self._cancelled = self._in_the_way = True
        if self._cancelled:
            raise CancelledError


def _exit(error: BaseException) -> Exception:
    try:
        text = repr(error)
    except Exception:  # noqa: BLE001 - an author's exception may be broken itself
        text = type(error).__name__
    return RuntimeError(text).with_traceback(error.__traceback__)
