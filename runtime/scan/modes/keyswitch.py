"""The keyswitch of the cell: STOP, RUN or REMOTE, and what each position allows.

Fixed in the cell's file or read from a tag that a real key is wired to. The scan asks here before
it obeys a request; it never turns the key itself.
"""

from __future__ import annotations

from typing import Final, cast

from cellwright.io.plan import KeyPosition, Plan, quality
from cellwright.io.process_image.process_image import ProcessImage
from cellwright.runtime.scan.modes.states import STARTS, Request

POSITIONS: Final = {position.name.lower(): position for position in KeyPosition}


class Keyswitch:
    """Where the key stands, as of the last look."""

    def __init__(self, plan: Plan) -> None:
        self._tag = plan.tag(plan.keyswitch) if plan.keyswitch else None
        self._fixed = POSITIONS[plan.mode]

    @property
    def at_start(self) -> KeyPosition:
        """The position before the first look."""
        return self._fixed if self._tag is None else KeyPosition.UNKNOWN

    def look(self, image: ProcessImage) -> KeyPosition:
        """The position in this cycle; UNKNOWN when the tag is Bad or holds another number."""
        if self._tag is None:
            return self._fixed
        if quality.is_bad(image.quality(self._tag.index)):
            return KeyPosition.UNKNOWN
        try:
            return KeyPosition(cast(int, image.get(self._tag.index)))
        except ValueError:
            return KeyPosition.UNKNOWN


def objection(position: KeyPosition, request: Request, *, remote: bool) -> str:
    """Why the key forbids a request, or an empty string. Stop and pause are always allowed."""
    if request not in STARTS and request is not Request.RESET:
        return ""
    if position is KeyPosition.UNKNOWN:
        return "the keyswitch cannot be read; check its tag, or force it"
    if position is KeyPosition.STOP and request in STARTS:
        return "keyswitch is in STOP; turn it to RUN or REMOTE"
    if remote and position is not KeyPosition.REMOTE:
        action = "reset" if request is Request.RESET else "start"
        return (
            f"keyswitch is in {position.name} (local); remote {action} is not allowed; "
            f"turn it to REMOTE"
        )
    return ""
