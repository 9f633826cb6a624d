"""Which signals ask the supervisor to end the cell; it calls this once, before it starts others."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def end_on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Have ``handler`` called on SIGTERM, SIGINT and SIGHUP.

    SIGHUP stays ignored where it is, as under nohup: then a closed terminal ends nothing. SIGINT
    counts even where it is ignored, as in the background of a script: somebody has asked for it.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
