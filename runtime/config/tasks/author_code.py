"""Runs what an author wrote, as long as it takes a module to be imported and no longer.

Called where the compiler imports a module. A module that loops or waits is ended at the line where
it is; one call into C that never returns is not, for nobody can end that inside a process. An
interrupt that the module raises by itself is told apart from Ctrl-C, which ends the command.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

IMPORT_LIMIT_S: Final = 20.0
"""Longest time for a module, with all that it imports, on a busy computer."""


class EndlessError(BaseException):
    """The module was not done in time. No `Exception`: an author's code must not catch it."""


class RaisedInterruptError(Exception):
    """The module raised KeyboardInterrupt, and nobody had pressed Ctrl-C."""


@contextmanager
def bounded(limit_s: float = IMPORT_LIMIT_S) -> Iterator[None]:
    """Raises EndlessError at the line that runs when the time is up, RaisedInterruptError as above.

    Only the main thread of a process has signals; elsewhere nothing is bounded. A timer that is in
    use is left alone.
    """
    asked = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def on_time(_number: int, _frame: FrameType | None) -> None:
        raise EndlessError(f"it was not done within {limit_s:g} s")

    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    ours = main and before is signal.default_int_handler
    timed = main and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    if ours:
        signal.signal(signal.SIGINT, on_interrupt)
    if timed:
        alarm = signal.signal(signal.SIGALRM, on_time)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    except KeyboardInterrupt as error:
        # Where Ctrl-C is ignored, as in the background of a script, nobody can have pressed it.
        if asked or not (ours or before is signal.SIG_IGN):
            raise
        raise RaisedInterruptError("it raises KeyboardInterrupt").with_traceback(
            error.__traceback__
        ) from error
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, alarm)
        if ours:
            signal.signal(signal.SIGINT, before)
