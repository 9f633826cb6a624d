"""The recordings that a cell has kept, for people: when, why and how large.

The command line asks; nothing here changes a file or reads more of it than its head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cellwright.io.recording.file import SUFFIX, Recording, RecordingError
from cellwright.io.recording.store import KEPT, KEPT_FILES, kept_order

_NAMED: Final = re.compile(
    rf"{KEPT}(\d{{4}})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)-(.+?)(-\d+)?{re.escape(SUFFIX)}"
)


@dataclass(frozen=True, slots=True)
class KeptRecording:
    """One recording. ``cause`` is a name and a sentence, or what is wrong with the file."""

    path: Path
    at: str
    """Of its first cause: ``2026-11-20T18:21:40Z``; empty when somebody has renamed the file."""
    name: str
    """``fault``, ``overrun``, ``condition``, ``asked``, ``scan-restarted`` or a trigger's name."""
    cause: str
    size: int
    """Bytes."""


def kept_recordings(folder: Path) -> list[KeptRecording]:
    """Those in a folder, oldest first; empty when there is no such folder."""
    files = sorted(folder.glob(KEPT_FILES), key=kept_order)
    found = [_recording(path) for path in files]
    return [recording for recording in found if recording is not None]


def _recording(path: Path) -> KeptRecording | None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None  # the recorder has just made room
    try:
        with Recording(path) as recording:
            cause = recording.header.cause
    except RecordingError as error:
        cause = str(error)
    named = _NAMED.fullmatch(path.name)
    if named is None:
        return KeptRecording(path, "", "", cause, size)
    year, month, day, hour, minute, second, name = named.groups()[:7]
    return KeptRecording(path, f"{year}-{month}-{day}T{hour}:{minute}:{second}Z", name, cause, size)
