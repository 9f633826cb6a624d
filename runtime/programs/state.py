"""State of programs as bytes, and back."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from cellwright.tasks.api import Program, TagAccess
from cellwright.tasks.control.block import Block, blocks_of

FIXED: Final = frozenset({"_image", "_binding", "options"})
"""Attributes of a program that come from the plan."""

_PLAIN: Final = frozenset(
    {
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("builtins", "bytearray"),
        ("builtins", "complex"),
        ("builtins", "range"),
        ("builtins", "slice"),
        ("builtins", "object"),
        ("collections", "deque"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "Counter"),
        ("datetime", "datetime"),
        ("datetime", "date"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("random", "Random"),
        ("array", "array"),
        ("array", "_array_reconstructor"),
        ("copyreg", "_reconstructor"),
        ("copyreg", "__newobj__"),
        ("msgspec._utils", "rebuild"),
    }
)

_OURS: Final = (
    "cellwright.io.messages",
    "cellwright.io.plan",
    "cellwright.tasks.",
)
_FORMERLY: Final[Mapping[str, str]] = {
    "cellwright.io.iec": "cellwright.io.plan.iec",
    "cellwright.io.system_tags": "cellwright.io.plan.system_tags",
    "cellwright.tasks.carry_over": "cellwright.tasks.api.attributes",
    "cellwright.tasks.marking.symbol": "cellwright.tasks.symbology.data_matrix",
    "cellwright.tasks.marking.lua_engine": "cellwright.tasks.marking.lua.engine",
    "cellwright.tasks.vision.verify.Verdict": "cellwright.tasks.vision.verify.MarkVerdict",
}
"""Modules and classes by the names that recordings made before version 0.2 have for them."""

_IMAGE: Final = "", b""
"""Stands for the process image; a function block has a name."""

_NO_BLOCKS: Final[Mapping[str, Block]] = {}


class StateError(Exception):
    """A state that cannot be made into bytes, or bytes that are no state of these programs."""


class _Bytes:
    """Bytes as pickle's file. Not `io.BytesIO`: tools take the room ``io`` for that module."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self._at = 0

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        end = len(self.data) if size < 0 else self._at + size
        part = bytes(self.data[self._at : end])
        self._at += len(part)
        return part

    def readline(self) -> bytes:
        end = self.data.find(b"\n", self._at)
        return self.read(-1 if end < 0 else end + 1 - self._at)


class _Freezer(pickle.Pickler):
    """Leaves out what a replay has itself: the image, and function blocks but for their state."""

    def __init__(self, file: _Bytes, image: TagAccess, blocks: Mapping[str, Block]) -> None:
        super().__init__(file, protocol=5)
        self._image = image
        self._names = {id(block): name for name, block in blocks.items()}

    def reducer_override(self, obj: Any) -> Any:
        # Python 3.11.0 to 3.11.3 write an enumeration as a call of getattr, which no recording may.
        return (type(obj), (obj.value,)) if isinstance(obj, Enum) else NotImplemented

    def persistent_id(self, obj: Any) -> tuple[str, bytes] | None:
        if obj is self._image:
            return _IMAGE
        if isinstance(obj, Block) and id(obj) in self._names:
            return self._names[id(obj)], obj.state()
        return None


class Thawer(pickle.Unpickler):
    """Makes the state of one program, or of the scan, from bytes.

    Classes come from ``modules`` (names of the programs' top-level modules) and from the few that
    hold plain data; ``image`` and ``blocks`` take the place of those that were left out.
    """

    def __init__(
        self, data: bytes, image: TagAccess, modules: frozenset[str], blocks: Mapping[str, Block]
    ) -> None:
        super().__init__(_Bytes(data))
        self._image = image
        self._modules = modules
        self._blocks = blocks

    def persistent_load(self, pid: Any) -> Any:
        """The image or a function block; raises UnpicklingError for a block that is gone."""
        if pid == _IMAGE:
            return self._image
        name, state = pid
        return self.block(name, state)

    def block(self, name: str, state: bytes) -> Any:
        """The function block of that name, gone on from ``state``."""
        if name not in self._blocks:
            raise pickle.UnpicklingError(f"the program has no function block '{name}' any more")
        self._blocks[name].restore(state)
        return self._blocks[name]

    def find_class(self, module: str, name: str) -> Any:
        """A class of plain data or of a program; raises UnpicklingError for anything else."""
        module = _FORMERLY.get(module, module)
        if f"{module}.{name}" in _FORMERLY:
            module, _, name = _FORMERLY[f"{module}.{name}"].rpartition(".")
        ours = module.startswith(_OURS) or module.partition(".")[0] in self._modules
        if (module, name) not in _PLAIN and not ours:
            raise pickle.UnpicklingError(f"{module}.{name} is not a class of a program")
        found = super().find_class(module, name)
        if ours and not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module}.{name} is not a class")
        return found


def _dump(value: Any, image: TagAccess, blocks: Mapping[str, Block] = _NO_BLOCKS) -> bytes:
    file = _Bytes()
    _Freezer(file, image, blocks).dump(value)
    return bytes(file.data)


def freeze_program(program: Program[Any], image: TagAccess) -> bytes:
    """The attributes of one program, as a keyframe holds them.

    Raises whatever an attribute raises that is no data; `culprit` names it.
    """
    state = {name: value for name, value in vars(program).items() if name not in FIXED}
    return _dump(state, image, blocks_of(program))


def culprit(program: Program[Any], image: TagAccess) -> str:
    """The attribute that cannot be saved and why, or an empty string."""
    for name, value in vars(program).items():
        try:
            if name not in FIXED:
                _dump(value, image, blocks_of(program))
        except (Exception, SystemExit) as first:  # noqa: BLE001 - an author's object
            return f"its attribute '{name}' cannot be saved ({first})"
    return ""
