"""Real processes for tests, forked so that they start in milliseconds."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator

import structlog


@contextlib.contextmanager
def process(work: Callable[[], object]) -> Iterator[int]:
    """A process that does ``work`` and logs nothing; gives its id, kills it at the end.

    It leaves by ``os._exit``: status 0 after ``work``, 1 after an error, without any clean-up of
    the test process it was forked from.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
            work()
            status = 0
        except Exception:  # noqa: BLE001 - the process's edge
            traceback.print_exc()
        finally:
            os._exit(status)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
