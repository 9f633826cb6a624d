"""Runs Python code in turns with the beat: only in the time that a cycle leaves, line by line.

The scan process loads changed programs with it. The code has a thread of its own, which stands
still at a line of Python whenever its time is over, so that it never holds the interpreter while a
cycle runs; only a single call into C can keep it longer.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

STACK_BYTES: Final = 1 << 20
"""The scan's memory is locked: a stack of the usual size would have to be there as a whole."""


class CancelledError(BaseException):
    """Raised in the code, at a line, when nobody wants its result any more."""


class Slices(Generic[T]):
    """One run of ``work``. `step` lets it go on; ``enter`` and ``leave`` are called around turns.

    Not for code that must not be traced: the thread's trace function is ours.
    """

    def __init__(
        self,
        work: Callable[[Slices[T]], T],
        now_ns: Callable[[], int],
        enter: Callable[[], None],
        leave: Callable[[], None],
    ) -> None:
        self._work = work
        self._now_ns = now_ns
        self._enter = enter
        self._leave = leave
        self._until_ns = 0
        self._go = threading.Lock()
        self._rest = threading.Lock()
        self._go.acquire()
        self._rest.acquire()
        self._moving = False
        """It was let go and has not come to rest since."""
        self._cancelled = False
        self.done = False
        self.result: T
        self.error: Exception | None = None
        """What ``work`` raised."""
        before = threading.stack_size(STACK_BYTES)
        try:
            self._thread = threading.Thread(target=self._run, name="online-change", daemon=True)
            self._thread.start()
        finally:
            threading.stack_size(before)

    def step(self, until_ns: int, latest_ns: int) -> bool:
        """Let the code go on until a time of the clock; True when it is over.

        Comes back at ``latest_ns`` also when the code is still in a call that does not end.
        """
        if self.done:
            return True
        self._until_ns = until_ns
        if not self._moving:
            self._moving = True
            self._go.release()
        wait_s = (latest_ns - self._now_ns()) / 1e9
        if self._rest.acquire(timeout=max(0.0, wait_s)):
            self._moving = False
        return self.done

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
        if not self._moving:
            self._moving = True
            self._go.release()

    def _run(self) -> None:
        self._go.acquire()
        if not self._cancelled:
            self._enter()
            try:
                sys.settrace(self._trace)
                try:
                    self.result = self._work(self)
                finally:
                    sys.settrace(None)
            except CancelledError:
                pass
            except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's module
                self.error = error if isinstance(error, Exception) else _exit(error)
            self._leave()
        self.done = True
        self._rest.release()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self._now_ns() >= self._until_ns:
            self._leave()
            self._rest.release()
            self._go.acquire()
            self._enter()
            if self._cancelled:
                raise CancelledError
        return self._trace


def _exit(error: SystemExit) -> Exception:
    return RuntimeError(repr(error)).with_traceback(error.__traceback__)
