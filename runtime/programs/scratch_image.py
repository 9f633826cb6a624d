"""Makes a program beside a running cell, so that its ``__init__`` cannot touch what runs.

Called by the loader of an online change and by a replay, which put the program to work afterwards.
"""

from __future__ import annotations

from typing import Any

from cellwright.io.plan import TagStatus
from cellwright.tasks.api import Program, TagAccess
from cellwright.tasks.control.block import blocks_of


class ScratchImage:
    """A process image that can be read and that forgets what is written to it."""

    def __init__(self, image: TagAccess) -> None:
        self._image = image
        self._written: dict[int, Any] = {}
        self._given: dict[int, int] = {}

    def get(self, index: int) -> Any:
        """What was written here, else the tag's value."""
        return self._written[index] if index in self._written else self._image.get(index)

    def set(self, index: int, value: Any) -> None:
        """Seen by `get` and by nobody else."""
        self._written[index] = value

    def quality(self, index: int) -> int:
        """What was given here, else the tag's quality."""
        given = self._given.get(index)
        return self._image.quality(index) if given is None else given

    def set_quality(self, index: int, status: int) -> None:
        """Seen by `quality` and by nobody else."""
        self._given[index] = status

    def status(self, index: int) -> TagStatus:
        """The tag's, as it is in the image."""
        return self._image.status(index)


def attach_image(program: Program[Any], image: TagAccess) -> None:
    """Give a program that was made aside the image that it is to work on."""
    program._image = image
    for block in blocks_of(program).values():
        block.attach_image(image)
