"""Which cycles of a recording a replay can compare, when the cell's programs changed on the way.

A recording holds no code, only the SHA-256 of the programs that ran; a replay has the programs that
lie in a folder now. Called by `cellwright.runtime.recorder.replay` at each keyframe.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from cellwright.io.messages import MessageError, ProgramsLoaded, decode_command
from cellwright.io.recording.file import Keyframe, Recording

SHOWN: Final = 12
"""Characters of a SHA-256 that people see."""


class NextPart(Enum):
    """What a replay does at a keyframe."""

    GO_ON = 1
    BEGIN = 2
    """The programs at hand are those that run from here on."""
    SKIP = 3
    END = 4


class ProgramTrail:
    """The programs of a recording in the order in which they ran.

    ``at_hand`` is the SHA-256 of the programs that the replay has, empty when it is not known.
    Where these ran for a part of the recording, that part is compared and the others are left out;
    else the comparison begins with the first and ends where the programs changed.
    """

    def __init__(self, recording: Recording, at_hand: str) -> None:
        self._at_hand = at_hand
        self._known = {keyframe.digest for keyframe in recording.keyframes()} - {""}
        self._now = ""
        self.notes: list[str] = []

    @property
    def recorded(self) -> bool | None:
        """The programs at hand are among those that ran; None when that is not known."""
        return self._at_hand in self._known if self._at_hand and self._known else None

    def at(self, keyframe: Keyframe) -> NextPart:
        """What to do at the next keyframe."""
        before, self._now = self._now, keyframe.digest or self._now
        changed = bool(before) and before != self._now
        if self.recorded and self._now != self._at_hand:
            if changed or not before:
                self.notes.append(
                    f"cycles from {keyframe.cycle + 1} on ran with other programs "
                    f"({self._now[:SHOWN]}) than those at hand and are not compared; give their "
                    f"folder with --programs to compare them"
                )
            return NextPart.SKIP
        if not changed:
            return NextPart.GO_ON
        if self.recorded:
            self.notes.append(
                f"from cycle {keyframe.cycle + 1} on the cell ran with the programs at hand, "
                f"which were loaded by an online change"
            )
            return NextPart.BEGIN
        self.notes.append(
            f"the programs were changed online after cycle {keyframe.cycle}; the replay ends "
            f"there, give the folder of the later ones ({self._now[:SHOWN]}) with --programs to "
            f"go on"
        )
        return NextPart.END

    def unseen(self, commands: list[bytes], new: str | None, cycle: int) -> bool:
        """True for a cycle that begins with a change whose keyframe was lost.

        ``new`` are the programs of the change that is under way.
        """
        for data in commands:
            if b"programs_loaded" not in data:
                continue
            try:
                outcome = decode_command(data)
            except MessageError:
                continue  # the scan refused it too
            if isinstance(outcome, ProgramsLoaded) and not outcome.error and new != self._now:
                self.notes.append(
                    f"the programs were changed online before cycle {cycle}, of which the "
                    f"recording has no keyframe; it cannot be compared up to the next one"
                )
                return True
        return False
