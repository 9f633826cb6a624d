"""A process that the supervisor starts and watches."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

BACKOFF_FIRST_S: Final = 0.05
FIRST_BEAT_NS: Final = 60_000_000_000
"""A process that has not beaten for so long after its start hangs; imports may take long."""
LOOKED_AT_PART: Final = 4
"""After this part of its limit a silent process is looked at: does it wait for a core?"""


class CoreWait:
    """How long a process was ready to run and had no core, since this began to look.

    The kernel's own account (``/proc/PID/schedstat``) comes too late: it counts a wait when it is
    over. So each look asks whether the process is ready now, and what it ran since the last look.
    """

    def __init__(self, pid: int, now_ns: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._looked_ns = now_ns
        self._ran_ns = self._ran()
        self._waited_ns = 0

    def look(self, now_ns: int) -> int:
        """Nanoseconds of waiting up to now; 0 where ``/proc`` does not tell."""
        ran_ns = self._ran()
        if self._ready():
            passed_ns = now_ns - self._looked_ns
            self._waited_ns += max(0, passed_ns - (ran_ns - self._ran_ns))
        self._looked_ns, self._ran_ns = now_ns, ran_ns
        return self._waited_ns

    def _ran(self) -> int:
        try:
            return int((self._folder / "schedstat").read_bytes().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def _ready(self) -> bool:
        try:
            return (self._folder / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"R"
        except (OSError, IndexError):
            return False


@dataclass
class Child:
    """One supervised process."""

    name: str
    module: str
    arguments: tuple[str, ...]
    silence_ns: int
    popen: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    working_since: float | None = None
    """When its first beat was seen."""
    due_at: float = 0.0
    backoff_s: float = BACKOFF_FIRST_S
    killed: bool = False
    """It hung and was sent SIGKILL, which takes effect a little later."""
    before: Callable[[], None] = field(default=lambda: None)
    """Done before each start."""
    _wait: CoreWait | None = None
    """Of its present silence, once that has lasted for a while."""
    _silent_since_ns: int = 0

    def hangs(self, beat_ns: int, now_ns: int) -> bool:
        """Silent for longer than it may be, although the computer let it run.

        Time in which it was ready to run and had no core does not count: a process of a busy PC
        gets on slowly, and killing it would only begin its start again. ``beat_ns`` is its last
        sign of life. To be called over and over while it is silent.
        """
        limit_ns = self.silence_ns
        if self.working_since is None:
            limit_ns = max(limit_ns, FIRST_BEAT_NS)
        silence_ns = now_ns - beat_ns
        if silence_ns <= limit_ns // LOOKED_AT_PART:
            return False
        if self.popen is None:
            return silence_ns > limit_ns
        if self._wait is None or self._silent_since_ns != beat_ns:
            self._silent_since_ns = beat_ns
            self._wait = CoreWait(self.popen.pid, now_ns)
        return silence_ns - self._wait.look(now_ns) > limit_ns
