"""Commands that look at a running cell or act on it find it here: its plan and its image.

What it loads is what an image takes; the cell's file is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellwright.io.image import Image, ImageError
from cellwright.io.plan import Plan, Tag
from cellwright.runtime.cell.freshness import staleness
from cellwright.runtime.cell.lock import RunError
from cellwright.runtime.cell.run_folder import find
from cellwright.runtime.cell.tag_lookup import unknown_tag
from cellwright.runtime.cli.common import fail, warn


@contextmanager
def attached(cell: str | None) -> Iterator[tuple[Plan, Image]]:
    """Plan and image of the running cell that is meant."""
    try:
        plan, image = find(cell, Path.cwd()).attach()
    except (RunError, ImageError) as error:
        fail(str(error))
    try:
        yield plan, image
    finally:
        image.close()


def warn_if_old(plan: Plan, image: Image) -> bool:
    """Say on stderr that what is shown is not of now; True when it was said."""
    sentence = staleness(plan, image)
    if sentence:
        warn(sentence)
    return bool(sentence)


def known_tag(plan: Plan, name: str) -> Tag:
    """The tag, or an error that lists the nearest names."""
    try:
        return plan.tag(name)
    except KeyError:
        fail(unknown_tag(plan, name))
