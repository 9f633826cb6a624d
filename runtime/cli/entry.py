"""The entry point of the ``cellwright`` command: what must hold before and after everything else.

It imports next to nothing, because from here on Ctrl-C ends the command without a traceback, also
while the modules of the command are still imported.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 130
"""As a shell names the end by Ctrl-C: 128 and the signal's number."""
_CANNOT_WRITE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_LOST = 1
"""Exit code when what was to be printed could not be written."""


def main() -> None:
    """Run the command line. Exits with its code, or 130 when interrupted before it began."""
    before = signal.getsignal(signal.SIGINT)
    try:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)
    except KeyboardInterrupt:  # it came while the handler was put in its place
        sys.exit(_INTERRUPTED)
    _prepare_streams()
    from cellwright.runtime.cli.main import app  # noqa: PLC0415  the slow part

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, before)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        _discard_what_is_left()
        if error.errno not in _CANNOT_WRITE:
            raise
        if error.errno != errno.EPIPE:
            where = error.filename or "the output"
            sys.stderr.write(f"error: cannot write {where}: {error.strerror}\n")
        sys.exit(_LOST)


def _leave(signum: int, frame: FrameType | None) -> None:
    """Nothing has been done yet that an orderly end would have to undo."""
    os._exit(_INTERRUPTED)


def _prepare_streams() -> None:
    """A character that the terminal cannot show is no reason to end; nor is a closed stream.

    Descriptors 0 to 2 that the caller closed are opened on ``/dev/null``, so that no file of ours
    gets one of these numbers and is written over by a message.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  kept to the end
            setattr(sys, name, stream)
        stream.reconfigure(errors="backslashreplace")


def _discard_what_is_left() -> None:
    """The interpreter flushes once more at its end: let that go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
