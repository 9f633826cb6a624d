"""Recordings that an earlier version made are replayed: a plant keeps them for years.

``recordings/blades_0_1.cwrec`` is nine seconds of the blade-marking cell, recorded by version 0.1
before its modules moved to where they are now. It begins in the middle of RUN, so its first
keyframe holds the state of all three programs, under the names that their classes had then.
"""

from __future__ import annotations

import pickletools
from pathlib import Path

import pytest

from cellwright.io.recording.file import Keyframe, Recording
from cellwright.runtime.recorder.replay import Replay

OLD = Path(__file__).parent / "recordings" / "blades_0_1.cwrec"
EXAMPLE = Path(__file__).parents[3] / "examples" / "blade_marking"


def module_names(data: bytes) -> set[str]:
    """What the pickled bytes of a state name as modules."""
    return {
        argument
        for operation, argument, _ in pickletools.genops(data)
        if "UNICODE" in operation.name and str(argument).startswith("cellwright.")
    }


def test_a_recording_made_before_the_modules_moved_replays_identically() -> None:
    with Replay(OLD, folder=EXAMPLE) as replay:
        outcome = replay.run()
    assert outcome.identical, outcome
    assert (outcome.first, outcome.last, outcome.cycles) == (501, 1401, 901)


def test_the_old_recording_does_name_modules_that_are_not_there_any_more() -> None:
    recording = Recording(OLD)
    keyframe = next(part for part in recording.parts() if isinstance(part, Keyframe))
    assert keyframe.programs is not None
    assert keyframe.cycle == 500
    names = module_names(keyframe.scan).union(*map(module_names, keyframe.programs))
    recording.close()
    assert "cellwright.io.system_tags" in names
    with pytest.raises(ModuleNotFoundError):
        __import__("cellwright.io.system_tags")
