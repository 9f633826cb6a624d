"""What all function blocks share: declaration in a program, state as bytes, errors, durations.

The blocks themselves stand in the modules beside this one; authors import them from
`cellwright.tasks.control.blocks`. A block's work is one call into C on its own state; it never asks
for the time, it is told the scan's.
"""

from __future__ import annotations

import copy
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NewType, NoReturn, Protocol, TypeVar

from cellwright.io.plan import MAX_ARRAY_LENGTH
from cellwright.native import ffi, lib
from cellwright.tasks.api import ARRAY, LINT, Program, Retained, TagAccess

Time = NewType("Time", int)
"""A duration as TIME holds it: nanoseconds. Made by `T_s` and `T_ms`, or read from a TIME tag."""

B = TypeVar("B", bound="Block")

_LONGEST_S: Final = (2**63 - 1) / 1e9
_HEADER: Final = struct.Struct("<15sB")
_VERSION: Final = 1


def T_s(seconds: float) -> Time:  # noqa: N802 - as TIME literals are spelled
    """A duration in seconds, 0 to 292 years, rounded to nanoseconds; raises ParameterError."""
    if not 0 <= seconds < _LONGEST_S:
        raise ParameterError(f"{seconds!r} s is not a duration; give 0 to {_LONGEST_S:.0f} s")
    return Time(round(seconds * 1e9))


def T_ms(milliseconds: float) -> Time:  # noqa: N802 - as TIME literals are spelled
    """A duration in milliseconds; see `T_s`."""
    return T_s(milliseconds / 1e3)


class ScanTime(Protocol):
    """What a block wants of the scan context."""

    @property
    def now_ns(self) -> int:
        """Scan time: monotonic nanoseconds, constant within a cycle."""


class BlockError(Exception):
    """A function block could not do what it was asked; its state is as before."""


class ParameterError(BlockError, ValueError):
    """An input outside its range: crossed limits, PV beyond the counter, a name unknown."""


class TimeBackwardsError(BlockError):
    """A block that is measuring time was given an earlier time than before."""


class StateError(BlockError):
    """Bytes that are not the state of this block."""


class Block:
    """Base of all function blocks.

    Declared at class level of a program, like its variables; every program object gets its own
    state. With ``retained`` the block declares one more variable beside itself, named after block
    and kind (``parts`` and CTU give ``parts_ctu``), that keeps its state over a warm start and a
    power failure; time during which the program did not run then counts as none. A block may also
    be made in ``__init__`` (in lists too), but not retained.
    """

    _struct: ClassVar[str]

    def __init__(self, *, retained: bool = False) -> None:
        self._retained = retained
        self._name = ""
        self._keeper: _Keeper | None = None
        self._allocate()

    def _allocate(self) -> None:
        self._state: Any = ffi.new(f"{self._struct} *")
        self._memory: tuple[Any, ...] = (ffi.buffer(self._state),)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        if self._retained:
            words = self._size() // 8
            if words > MAX_ARRAY_LENGTH:
                raise ParameterError(
                    f"{self!r} has {words} words of state, a tag holds {MAX_ARRAY_LENGTH}; "
                    "divide it, or do not retain it"
                )
            variable = Retained(
                ARRAY(words, LINT), description=f"State of {type(self).__name__} {name}"
            )
            setattr(owner, self._variable(), variable)
            variable.__set_name__(owner, self._variable())

    def __get__(self: B, program: object | None, owner: type | None = None) -> B:
        if program is None:
            return self
        if not self._name:
            raise BlockError(
                f"a {type(self).__name__} was put on {type(program).__name__} after the class was "
                "made; declare it in the class's body"
            )
        own = copy.copy(self)
        own._allocate()
        if own._retained:
            own._keeper = own._attach(program)
        program.__dict__[self._name] = own
        return own

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>".replace(" >", ">")

    # --- state ----------------------------------------------------------------------------------

    def state(self) -> bytes:
        """The whole state, for `restore` of a block of the same kind; equal states, equal bytes."""
        return _HEADER.pack(type(self).__name__.encode(), _VERSION) + self._bytes()

    def restore(self, data: bytes, *, new_clock: bool = False) -> None:
        """Go on from ``data``; raises StateError and changes nothing when it does not fit.

        ``new_clock``: the scan time of ``data`` and that of the next call have nothing to do with
        each other (another boot, another machine); the interval between them counts as none.
        """
        header = _HEADER.pack(type(self).__name__.encode(), _VERSION)
        if data[: len(header)] != header:
            raise StateError(
                f"{self!r} cannot restore {data[:16]!r}...: the bytes are the state of another "
                "kind or version of block; leave this block at its initial state"
            )
        self._load(data[len(header) :], new_clock=new_clock)

    def _size(self) -> int:
        return sum(len(memory) for memory in self._memory)

    def _bytes(self) -> bytes:
        return b"".join(memory[:] for memory in self._memory)

    def _load(self, data: bytes, *, new_clock: bool) -> None:
        if len(data) != self._size():
            raise StateError(
                f"{self!r} cannot restore {len(data)} bytes, its state has {self._size()}; the "
                "declaration has changed: leave this block at its initial state"
            )
        before = self._bytes()
        self._copy_in(data)
        why = self._unsound()
        if why:
            self._copy_in(before)
            raise StateError(
                f"{self!r} cannot restore this state: {why}; it was damaged or is another block's: "
                "leave this block at its initial state (cold start, if it is retained)"
            )
        if new_clock:
            self._forget_clock()

    def _copy_in(self, data: bytes) -> None:
        place = 0
        for memory in self._memory:
            memory[:] = data[place : place + len(memory)]
            place += len(memory)

    def _unsound(self) -> str:
        """Why the state cannot have come from this block; empty when it can."""
        return unsound(self._state)

    def _forget_clock(self) -> None:
        """The last scan time means nothing any more."""
        if hasattr(self._state, "clocked"):
            self._state.clocked = 0

    # --- retained -------------------------------------------------------------------------------

    def _variable(self) -> str:
        return f"{self._name}_{type(self).__name__.lower()}"

    def _attach(self, program: object) -> _Keeper:
        if not isinstance(program, Program):
            raise BlockError(f"{self!r} is retained; only a Program can retain a block")
        keeper = _Keeper(program, program._binding[self._variable()])
        self._load(keeper.data, new_clock=True)
        return keeper

    def attach_image(self, image: TagAccess) -> None:
        """Keep a retained state in this image from now on; called when a program moves to it."""
        if self._keeper is not None:
            self._keeper.move(image)

    def _keep(self) -> None:
        if self._keeper is None:
            raise BlockError(f"{self!r} is retained; declare it in the body of a Program's class")
        self._keeper.keep(self._bytes())

    # --- refusals -------------------------------------------------------------------------------

    def _refuse(self, code: int, now_ns: int = 0, why: str = "") -> NoReturn:
        if code == lib.CW_TIME_BACKWARDS:
            raise TimeBackwardsError(
                f"{self!r} was called with scan time {now_ns} ns, earlier than in its last call; "
                "pass the ctx of the running cycle, or restore it with new_clock=True"
            )
        raise ParameterError(f"{self!r} was called with {why}")


class _Keeper:
    """The retained variable of one block."""

    def __init__(self, program: Program[Any], index: int) -> None:
        self._image = program._image
        self._index = index
        words: Any = self._image.get(index)
        self.data = struct.pack(f"={len(words)}q", *words)

    def move(self, image: TagAccess) -> None:
        self._image = image

    def keep(self, data: bytes) -> None:
        if data != self.data:
            self._image.set(self._index, memoryview(data).cast("q").tolist())
            self.data = data


def unsound(state: Any) -> str:
    """Why a block's struct cannot have come from its step function; empty when it can."""
    for name, field in ffi.typeof(state).item.fields:
        value = getattr(state, name)
        if name == "spare":
            if any(ffi.unpack(value, len(value)) if field.type.kind == "array" else (value,)):
                return "unused bytes are not zero"
        elif field.type.cname == "double":
            if not math.isfinite(value):
                return f"{name} is {value}"
        elif field.type.cname == "uint8_t" and value > (2 if name == "phase" else 1):
            return f"{name} is {value}"
    return ""


# --- all blocks of a program ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Carried:
    """What `restore_blocks` did."""

    kept: tuple[str, ...]
    """Blocks that go on from their saved state."""
    reset: Mapping[str, str]
    """Blocks that start anew, and why."""
    gone: tuple[str, ...]
    """Saved states without a block."""


def blocks_of(program: object) -> dict[str, Block]:
    """The program's blocks by name: of the class body first, then of ``__init__``, in lists
    ``name[0]`` and so on."""
    found: dict[str, Block] = {}
    for base in reversed(type(program).__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Block):
                found[name] = getattr(program, name)
    for name, value in vars(program).items():
        found.update(_blocks_in(name, value))
    return found


def _blocks_in(name: str, value: object) -> Iterator[tuple[str, Block]]:
    if isinstance(value, Block):
        yield name, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _blocks_in(f"{name}[{index}]", item)


def save_blocks(program: object) -> dict[str, bytes]:
    """The states of all blocks of a program by name; call it between two cycles."""
    return {name: block.state() for name, block in blocks_of(program).items()}


def restore_blocks(
    program: object, states: Mapping[str, bytes], *, new_clock: bool = False
) -> Carried:
    """Let the blocks of a (possibly changed) program go on from saved states, by name and kind."""
    blocks = blocks_of(program)
    kept: list[str] = []
    reset: dict[str, str] = {}
    for name, block in blocks.items():
        if name not in states:
            reset[name] = "there is no saved state of that name"
            continue
        try:
            block.restore(states[name], new_clock=new_clock)
        except StateError as error:
            reset[name] = str(error)
        else:
            kept.append(name)
    return Carried(tuple(kept), reset, tuple(name for name in states if name not in blocks))
