"""Hands the state of a running program to the changed one that takes its place.

Called by the scan between two cycles, and by ``cellwright change`` on a copy. The state travels as
bytes, as in a keyframe of a recording: what it is made of is looked up by name, so that it becomes
objects of the changed modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellwright.runtime.programs.state import FIXED, Thawer
from cellwright.tasks.api import Program, TagAccess
from cellwright.tasks.control.block import Block, StateError, blocks_of


class CarryError(Exception):
    """A state that the changed program cannot go on from; the sentence names what and why."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a changed program took over, by the names of attributes and function blocks."""

    kept: tuple[str, ...]
    new: tuple[str, ...]
    """As ``__init__`` made them."""
    dropped: tuple[str, ...]
    """The changed program does not know them."""
    reset: Mapping[str, str]
    """Function blocks that start anew, and why."""


class _Gone:
    """Stands where a function block was that the changed program does not have."""


class _Carrier(Thawer):
    def __init__(
        self,
        data: bytes,
        image: TagAccess,
        modules: frozenset[str],
        blocks: Mapping[str, Block],
    ) -> None:
        super().__init__(data, image, modules, blocks)
        self.kept: list[str] = []
        self.gone: list[str] = []
        self.reset: dict[str, str] = {}

    def block(self, name: str, state: bytes) -> Any:
        if name not in self._blocks:
            self.gone.append(name)
            return _Gone()
        try:
            self._blocks[name].restore(state)
        except StateError as error:
            self.reset[name] = str(error)
        else:
            self.kept.append(name)
        return self._blocks[name]


def carry_over(
    state: bytes, program: Program[Any], image: TagAccess, modules: frozenset[str]
) -> Taken:
    """Let ``program``, fresh from ``__init__``, go on from a state; raises CarryError.

    ``state`` is what `recorder_state.freeze_program` made of the program before; ``modules`` are
    the top-level names of the changed modules, which are the ones to be imported now. A program
    that could not take over must not be used.
    """
    blocks = blocks_of(program)
    own = set(vars(program)) - FIXED
    carrier = _Carrier(state, image, modules, blocks)
    try:
        found: dict[str, Any] = dict(carrier.load())
    except Exception as error:
        raise CarryError(f"its state cannot be taken over: {_sentence(error)}") from error
    old = {name: value for name, value in found.items() if not _holds_blocks(value)}
    try:
        program.carry_over(old)
    except Exception as error:
        raise CarryError(_sentence(error)) from error
    now = set(vars(program)) - FIXED
    holders = {name for name in now if _holds_blocks(vars(program)[name])}
    return Taken(
        kept=tuple(sorted({*carrier.kept, *(now & old.keys())})),
        new=tuple(sorted((own - old.keys() - holders) | (blocks.keys() - set(carrier.kept)))),
        dropped=tuple(sorted({*carrier.gone, *(old.keys() - now)})),
        reset=carrier.reset,
    )


def _holds_blocks(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_blocks(item) for item in value)
    return isinstance(value, Block | _Gone)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"
