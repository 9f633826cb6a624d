"""What the running of tasks reports when the cell must not go on. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the cell must go to FAULT. ``code`` is stable for machines, ``text`` for people."""

    code: str
    task: str
    """Name of the task at fault."""
    text: str
