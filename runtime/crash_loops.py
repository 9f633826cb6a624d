"""Tells a crash loop from a single death, and remembers it until a person has seen it.

The supervisor reports each death and asks how long to wait. What is remembered lies in the data
folder, so that a supervisor that is started anew does not start the cell by itself either.
"""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Final

from cellwright.runtime.run_folder import replace_file

FILE: Final = "crash_loop.json"
"""Name of the record in the data folder."""
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_LAST_S: Final = 30.0
"""Pauses before the restarts of a process in a crash loop, each twice the one before."""


class CrashLoops:
    """Deaths of the cell's processes. ``deaths`` within ``within_s`` seconds are a loop.

    All times are of one monotonic clock, in seconds.
    """

    def __init__(self, data: Path, deaths: int, within_s: float) -> None:
        self._path = data / FILE
        self._deaths = deaths
        self._within_s = within_s
        self._times: dict[str, deque[float]] = {}
        self._pauses: dict[str, float] = {}
        self.reason = ""
        """The first crash loop that no person has acknowledged, for people; empty without one."""
        if self._path.exists():
            self.reason = self._recorded()

    def _recorded(self) -> str:
        """A record that cannot be read is one, too: a person has to look."""
        try:
            return str(json.loads(self._path.read_text(encoding="utf-8"))["reason"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"a process was in a crash loop (the record {self._path} is damaged: {error})"

    def died(self, process: str, now_s: float, how: str) -> str:
        """Note a death; the reason when it makes a crash loop of it, or goes on with one."""
        times = self._times.setdefault(process, deque(maxlen=self._deaths))
        times.append(now_s)
        if len(times) < self._deaths or now_s - times[0] > self._within_s:
            self._pauses.pop(process, None)
            return ""
        reason = (
            f"process '{process}' died {self._deaths} times within {self._within_s:g} s, "
            f"the last time by {how}"
        )
        if not self.reason:
            self.reason = reason
            replace_file(self._path, json.dumps({"process": process, "reason": reason}).encode())
        return reason

    def pause_s(self, process: str) -> float:
        """How long to wait before the next start of a process in a crash loop."""
        pause = self._pauses.get(process, BACKOFF_FIRST_S)
        self._pauses[process] = min(BACKOFF_LAST_S, pause * 2)
        return pause

    def acknowledge(self) -> None:
        """A person has reset or started the cell: deaths are counted from now on."""
        if self.reason or self._times:
            self._times.clear()
            self._pauses.clear()
            self.reason = ""
            self._path.unlink(missing_ok=True)
