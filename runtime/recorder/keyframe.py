"""The programs' and the scan's own state as bytes, and back: the part of a keyframe that is Python.

Called by the recorder between two cycles and by a replay. Bytes from a file make no other objects
than those of programs and of plain data: nothing in a recording can call a function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cellwright.runtime.programs.scratch_image import ScratchImage, attach_image
from cellwright.runtime.programs.state import (
    _NO_BLOCKS,
    StateError,
    Thawer,
    _dump,
    culprit,
    freeze_program,
)
from cellwright.runtime.scan.cycle import Scan
from cellwright.runtime.scan.cycle_state import ScanState
from cellwright.runtime.scan.modes.states import DRIVING
from cellwright.tasks.api import Program
from cellwright.tasks.control.block import blocks_of


@dataclass(frozen=True, slots=True)
class Frozen:
    """State as bytes. ``programs`` is empty outside RUN, None when the ``obstacle`` says why."""

    scan: bytes
    programs: list[bytes] | None
    obstacle: str


def freeze(scan: Scan) -> Frozen:
    """The state between two cycles."""
    carried = scan.carried_over()
    image = scan.process_image
    own = _dump(carried.parts, image)
    if scan.state not in DRIVING:
        # A start makes new programs: what the old ones knew does not matter any more.
        return Frozen(own, [], "")
    programs = []
    for context, program in zip(scan.execution.contexts, carried.programs, strict=False):
        try:
            programs.append(freeze_program(program, image))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an author's object
            why = culprit(program, image) or f"its state cannot be saved ({error})"
            return Frozen(own, None, f"task '{context.task}': {why}")
    return Frozen(own, programs, "")


def thaw(scan: Scan, frozen: Frozen, carried: ScanState) -> None:
    """Let a scan go on from a state; raises StateError.

    ``carried`` gives what does not come from bytes. Programs are new ones of the scan's own
    classes that take over the saved attributes.
    """
    kinds = scan.execution.classes
    modules = frozenset(kind.__module__.partition(".")[0] for kind in kinds)
    image = scan.process_image
    try:
        parts = Thawer(frozen.scan, image, modules, _NO_BLOCKS).load()
        programs: list[Program[Any]] = []
        for task, data in enumerate(frozen.programs or ()):
            # What ``__init__`` writes must not change the image that was recorded.
            program = scan.execution.new_program(task, ScratchImage(image))
            blocks = blocks_of(program)
            vars(program).update(Thawer(data, image, modules, blocks).load())
            attach_image(program, image)
            programs.append(program)
        scan.carry_over(replace(carried, parts=parts, programs=programs))
    except Exception as error:
        raise StateError(
            f"the programs cannot go on from the recorded state: {type(error).__name__}: {error}; "
            f"replay with the programs that were recorded, or from the start of RUN"
        ) from error
