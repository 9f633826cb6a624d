"""The programs' and the scan's own state as bytes, and back: the part of a keyframe that is Python.

Called by the recorder between two cycles and by a replay. Bytes from a file make no other objects
than those of programs and of plain data: nothing in a recording can call a function.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cellwright.io.system_tags import CellState
from cellwright.tasks.api import Program

if TYPE_CHECKING:
    from cellwright.runtime.scan import Carried, Scan

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
    "cellwright.io.iec",
    "cellwright.io.messages",
    "cellwright.io.system_tags",
    "cellwright.tasks.",
)


class StateError(Exception):
    """A state that cannot be made into bytes, or bytes that are no state of these programs."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """State as bytes. ``programs`` is empty outside RUN, None when the ``obstacle`` says why."""

    scan: bytes
    programs: list[bytes] | None
    obstacle: str


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
    """Leaves out what a replay has itself: the image and the scan."""

    def __init__(self, file: _Bytes, scan: Scan) -> None:
        super().__init__(file, protocol=5)
        self._names = {id(scan.process_image): "image"}

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(id(obj))


class _Thawer(pickle.Unpickler):
    def __init__(self, data: bytes, scan: Scan, modules: frozenset[str]) -> None:
        super().__init__(_Bytes(data))
        self._scan = scan
        self._modules = modules

    def persistent_load(self, pid: Any) -> Any:
        if pid == "image":
            return self._scan.process_image
        raise pickle.UnpicklingError(f"unknown reference {pid!r}")

    def find_class(self, module: str, name: str) -> Any:
        ours = module.startswith(_OURS) or module.partition(".")[0] in self._modules
        if (module, name) not in _PLAIN and not ours:
            raise pickle.UnpicklingError(f"{module}.{name} is not a class of a program")
        found = super().find_class(module, name)
        if ours and not isinstance(found, type):
            raise pickle.UnpicklingError(f"{module}.{name} is not a class")
        return found


def _dump(value: Any, scan: Scan) -> bytes:
    file = _Bytes()
    _Freezer(file, scan).dump(value)
    return bytes(file.data)


def freeze(scan: Scan) -> Frozen:
    """The state between two cycles."""
    carried = scan.carried()
    own = _dump((carried.fields, carried.jobs, carried.inboxes), scan)
    if scan.state is not CellState.RUN:
        # A start makes new programs: what the old ones knew does not matter any more.
        return Frozen(own, [], "")
    programs = []
    for context, program in zip(scan.contexts, carried.programs, strict=False):
        state = {name: value for name, value in vars(program).items() if name not in FIXED}
        try:
            programs.append(_dump(state, scan))
        except Exception as error:  # noqa: BLE001 - whatever an author's object raises
            return Frozen(own, None, _obstacle(context.task, state, scan, error))
    return Frozen(own, programs, "")


def _obstacle(task: str, state: dict[str, Any], scan: Scan, error: Exception) -> str:
    for name, value in state.items():
        try:
            _dump(value, scan)
        except Exception as first:  # noqa: BLE001 - as above
            return f"task '{task}': its attribute '{name}' cannot be saved ({first})"
    return f"task '{task}': its state cannot be saved ({error})"


def thaw(scan: Scan, frozen: Frozen, carried: Carried) -> None:
    """Let a scan go on from a state; raises StateError.

    ``carried`` gives what does not come from bytes. Programs are new ones of the scan's own
    classes that take over the saved attributes.
    """
    kinds = scan.program_classes
    modules = frozenset(kind.__module__.partition(".")[0] for kind in kinds)
    try:
        fields, jobs, inboxes = _Thawer(frozen.scan, scan, modules).load()
        programs: list[Program[Any]] = []
        for task, data in enumerate(frozen.programs or ()):
            program = scan.new_program(task)
            vars(program).update(_Thawer(data, scan, modules).load())
            programs.append(program)
        scan.carry_on(
            replace(carried, fields=fields, jobs=jobs, inboxes=inboxes, programs=programs)
        )
    except Exception as error:
        raise StateError(
            f"the programs cannot go on from the recorded state: {type(error).__name__}: {error}; "
            f"replay with the programs that were recorded, or from the start of RUN"
        ) from error
