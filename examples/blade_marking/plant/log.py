"""The plant's own log: the independent witness of what really happened to outputs and blades.

Everything in the plant writes to it, tests and the demo read it. One JSON object a line, with
``mono_ns`` (CLOCK_MONOTONIC, the same clock in every process of the machine), ``utc_ns`` and
``event``.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, TextIO

_LEARN = 64
"""Heartbeat intervals from which the nominal one is learnt."""
_GAP_FACTOR = 3


class PlantLog:
    """Appends events to a file, or only counts them when there is none."""

    def __init__(
        self,
        path: Path | None,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.now_ns = now_ns
        self._utc_ns = utc_ns
        self._file: TextIO | None = None
        if path is not None:
            self._file = path.open("a", buffering=1, encoding="utf-8")

    def write(self, event: str, *, at_ns: int | None = None, **fields: Any) -> None:
        """Record ``event``; ``at_ns`` is when it happened, if that was before now."""
        self.counts[event] += 1
        if self._file is None:
            return
        now_ns = self.now_ns()
        at_ns = now_ns if at_ns is None else at_ns
        entry = {"mono_ns": at_ns, "utc_ns": self._utc_ns() - (now_ns - at_ns), "event": event}
        self._file.write(json.dumps(entry | fields) + "\n")

    def close(self) -> None:
        """Close the file; further events are only counted."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Heartbeat:
    """Statistics over the controller's heartbeat word, and a log entry for each long gap.

    ``nominal_ns`` 0 means: learn it as the median of the first 64 intervals.
    """

    def __init__(self, log: PlantLog, nominal_ns: int = 0) -> None:
        self._log = log
        self.nominal_ns = nominal_ns
        self.changes = 0
        self.advance = 0
        """Sum of the word's steps modulo 65536: beats counted by the controller."""
        self.largest_step = 0
        self.largest_gap_ns = 0
        self.gaps = 0
        """Gaps longer than three nominal intervals."""
        self._word: int | None = None
        self._last_ns = 0
        self._learning: list[int] = []

    def see(self, word: int, at_ns: int) -> None:
        """Take the word as written at ``at_ns``; an unchanged word is no beat."""
        if word == self._word:
            return
        if self._word is not None:
            step = (word - self._word) & 0xFFFF
            gap_ns = at_ns - self._last_ns
            self.changes += 1
            self.advance += step
            self.largest_step = max(self.largest_step, step)
            self.largest_gap_ns = max(self.largest_gap_ns, gap_ns)
            self._judge(gap_ns, at_ns, step)
        self._word = word
        self._last_ns = at_ns

    def _judge(self, gap_ns: int, at_ns: int, step: int) -> None:
        if not self.nominal_ns:
            self._learning.append(gap_ns)
            if len(self._learning) == _LEARN:
                self.nominal_ns = int(median(self._learning))
        elif gap_ns > _GAP_FACTOR * self.nominal_ns:
            self.gaps += 1
            self._log.write("heartbeat_gap", at_ns=at_ns, gap_ns=gap_ns, step=step)

    def statistics(self) -> dict[str, int]:
        """All figures, times in nanoseconds."""
        return {
            "changes": self.changes,
            "advance": self.advance,
            "largest_step": self.largest_step,
            "largest_gap_ns": self.largest_gap_ns,
            "gaps": self.gaps,
            "nominal_ns": self.nominal_ns,
            "last_ns": self._last_ns,
        }
