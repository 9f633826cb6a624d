"""Tells a crash loop from a single death, and remembers it until a person has seen it.

The supervisor reports each death and asks how long to wait. What is remembered lies in the data
folder, so that a supervisor that is started anew does not start the cell by itself either.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from cellwright.io.files.replace import replace_file

FILE: Final = "crash_loop.json"
"""Name of the record in the data folder."""
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_LAST_S: Final = 30.0
"""Pauses before the restarts of a process in a crash loop, each twice the one before."""

_log = structlog.get_logger(__name__)


class CrashLoops:
    """Deaths of the cell's processes. ``deaths`` within ``within_s`` seconds are a loop.

    All times are of one monotonic clock, in seconds. ``report`` hears of a record that cannot be
    changed, which ends nothing: it is tried again at the next death.
    """

    def __init__(
        self,
        data: Path,
        deaths: int,
        within_s: float,
        report: Callable[[str], object] = _log.warning,
    ) -> None:
        self._path = data / FILE
        self._deaths = deaths
        self._within_s = within_s
        self._times: dict[str, deque[float]] = {}
        self._pauses: dict[str, float] = {}
        self.reason = ""
        """The first crash loop that no person has acknowledged, for people; empty without one."""
        self._report = report
        self._kept = True
        """The record is what it should be."""
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
        if not self.reason or not self._kept:
            self.reason = self.reason or reason
            record = json.dumps({"process": process, "reason": self.reason}).encode()
            self._keep(lambda: replace_file(self._path, record, durable=True))
        return reason

    def _keep(self, change: Callable[[], None]) -> None:
        """Change the record; a disk that does not take it must not end the cell."""
        try:
            change()
        except OSError as error:
            self._kept = False
            self._report(
                f"the record {self._path} cannot be changed: {error.strerror}; check the disk: "
                f"a new supervisor goes by what is there"
            )
        else:
            self._kept = True

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
            self._keep(lambda: self._path.unlink(missing_ok=True))
