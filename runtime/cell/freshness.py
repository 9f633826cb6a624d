"""Whether a cell's snapshot is of now, for whoever shows its values.

The command line asks before it shows something, for a snapshot outlives the scan that wrote it.
Looks at the image only and changes nothing.
"""

from __future__ import annotations

import time
from typing import Final

from cellwright.io.image import Image
from cellwright.io.plan import Plan
from cellwright.runtime.cell.run_folder import run_command

SILENT_NS: Final = 2_000_000_000
"""A scan or a supervisor that has not beaten for so long counts as gone; longer for slow scans."""
SECOND_LOOK_S: Final = 0.2
"""After a stall of the whole machine the scan needs a moment as well."""


def staleness(plan: Plan, image: Image, second_look_s: float = SECOND_LOOK_S) -> str:
    """A sentence that says how old the values are; empty when they are of now.

    Values that no scan has published yet are not old; their quality says what they are.
    """
    if not _silence(plan, image):
        return ""
    time.sleep(second_look_s)
    return _silence(plan, image)


def has_ended(plan: Plan, image: Image) -> bool:
    """Nobody looks after the scan any more: its supervisor has given no sign either."""
    beat_ns = image.processes["supervisor"].beat_ns
    return time.monotonic_ns() - beat_ns > _limit_ns(plan)


def _limit_ns(plan: Plan) -> int:
    return max(SILENT_NS, 5 * plan.scan.base_ns)


def _silence(plan: Plan, image: Image) -> str:
    beat_ns = image.scan.beat_ns
    age_ns = time.monotonic_ns() - beat_ns
    if not beat_ns or age_ns <= _limit_ns(plan):
        return ""
    if has_ended(plan, image):
        return (
            f"cell '{plan.cell}' is no longer running: these values are {age_ns / 1e9:.0f} s old; "
            f"start it with '{run_command(plan.source)}'"
        )
    return (
        f"the scan of cell '{plan.cell}' does not respond: these values are {age_ns / 1e9:.0f} s "
        "old; see 'cellwright status' and the supervisor's output"
    )
