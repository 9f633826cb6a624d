"""What a process and a folder take: memory, file handles, files, bytes. For soaks and simulations.

Reads /proc from outside the process that is looked at; it measures and judges nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Footprint:
    """Figures of one process at one moment."""

    rss_bytes: int
    handles: int
    threads: int

    @classmethod
    def of(cls, pid: int | None = None) -> Footprint:
        """Of a process, by default this one; raises OSError when it is gone."""
        folder = Path("/proc") / str(os.getpid() if pid is None else pid)
        resident = int((folder / "statm").read_text().split()[1])
        return cls(
            resident * os.sysconf("SC_PAGE_SIZE"),
            len(os.listdir(folder / "fd")),
            len(os.listdir(folder / "task")),
        )


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies in a folder and below."""

    files: int
    size_bytes: int

    @classmethod
    def of(cls, folder: Path) -> Contents:
        """Counted now; files that disappear meanwhile count for nothing."""
        files = size = 0
        for place, _, names in os.walk(folder):
            for name in names:
                try:
                    size += os.stat(os.path.join(place, name)).st_size
                except OSError:
                    continue
                files += 1
        return cls(files, size)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares rise of y over x; 0 for fewer than two different x."""
    count = len(points)
    if not count:
        return 0.0
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread
