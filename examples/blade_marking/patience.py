"""How long the demo waits for its cell: as long as the cell gets on, however busy the PC is."""

from __future__ import annotations

import time
from pathlib import Path

NO_PROGRESS_S = 120.0
RESTARTS = 3


class Patience:
    """Watches the gateway process of a cell: it gets on while it uses processor time.

    ``supervisor`` is the process that was started with ``cellwright run``.
    """

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._gateways: set[int] = set()
        self._used = -1
        self._progress_at = time.monotonic()

    def ends(self) -> str:
        """Why waiting for longer makes no sense, or an empty string."""
        pid, used = self._gateway()
        if pid:
            self._gateways.add(pid)
        if used != self._used:
            self._used, self._progress_at = used, time.monotonic()
        if len(self._gateways) > RESTARTS:
            return f"its gateway process died {RESTARTS} times"
        if time.monotonic() - self._progress_at > NO_PROGRESS_S:
            return f"its gateway process has done nothing for {NO_PROGRESS_S:g} s"
        return ""

    def _gateway(self) -> tuple[int, int]:
        """Process number and processor time, in ticks of the kernel; zeros while there is none."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) != self._supervisor:
                    continue
                if b"processes.gateway" in (folder / "cmdline").read_bytes():
                    return int(folder.name), int(fields[11]) + int(fields[12])
            except (OSError, ValueError, IndexError):
                continue  # it ended while it was looked at
        return 0, 0
