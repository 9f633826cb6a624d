"""Child processes that work until they are killed, for tests of what a kill leaves behind.

`Victim` forks, runs a function in the child until SIGKILL comes, and reaps it. The child never
returns into the test and dies with it.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
import traceback
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


class Victim:
    """One child process running ``work``; ``work`` must not return before it is killed."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                work()
            except BaseException:  # noqa: BLE001 - the child's outermost edge
                traceback.print_exc()
            finally:
                os._exit(86)

    def kill(self) -> None:
        """SIGKILL and reap; fails when the child had ended by itself."""
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSIGNALED(status), f"the child ended by itself: {status}"


def let_live(chance: random.Random, longest_s: float = 0.004) -> None:
    """Let a victim work for a random time."""
    time.sleep(chance.random() * longest_s)
