"""What became of a change in the first executions of the changed programs.

Called by ``cellwright change`` when the scan has answered. Only looks at the image.
"""

from __future__ import annotations

from collections.abc import Sequence

from cellwright.io.image import Image
from cellwright.io.image.aftermath import RUNS, Aftermath, Outcome
from cellwright.io.plan import Plan

__all__ = ["RUNS", "Outcome", "first_runs"]


def first_runs(plan: Plan, image: Image, tasks: Sequence[str]) -> Outcome:
    """Wait for the first executions of these tasks; at once when the cell is not in RUN."""
    return Aftermath(image, [task for task in plan.tasks if task.name in tasks]).wait()
