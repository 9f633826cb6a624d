"""Until 1.0: the old name of what `cellwright.tasks.api` offers."""

from cellwright.tasks.api import TableStation, Transition, clip

__all__ = ["TableStation", "Transition", "clip"]
