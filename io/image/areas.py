"""Areas of the image file: which there are for a plan, and typed access to the bytes of one.

Each area starts on a cache line and has exactly one writer, except the command slots, which are
claimed by compare-and-swap. Used by `cellwright.io.image`; knows sizes and offsets, no meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, TypeVar, overload

from cellwright.native import Pointer, ffi, lib

LINE: Final = 64
"""Bytes of a cache line; areas start on one so that two writers never share it."""


def round_up(size: int, to: int = LINE) -> int:
    """The next multiple of ``to``."""
    return -(-size // to) * to


class Area:
    """A piece of shared memory: pointer, size in bytes and a view of the same bytes.

    The view keeps the mapping alive, so that no pointer outlives its memory.
    """

    __slots__ = ("pointer", "size", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.size = len(view)
        # A bare address: Python before 3.12.3 crashes when the garbage collector takes a view that
        # somebody still has a buffer of (gh-77894), so nothing may hold a buffer of `view`.
        self.pointer: Pointer = ffi.cast("uint8_t *", ffi.from_buffer(view, require_writable=True))

    def part(self, offset: int, size: int) -> Area:
        """``size`` bytes from ``offset``, as an area of their own."""
        return Area(self.view[offset : offset + size])


V = TypeVar("V")


class Word(Generic[V]):
    """One field of a `Record`, declared at class level; a subclass says how it is stored."""

    size: int = 8

    def __init__(self) -> None:
        self.offset = 0

    @overload
    def __get__(self, record: None, owner: type) -> Word[V]: ...
    @overload
    def __get__(self, record: Record, owner: type) -> V: ...
    def __get__(self, record: Record | None, owner: type) -> V | Word[V]:
        return self if record is None else self.load(record.area)

    def __set__(self, record: Record, value: V) -> None:
        self.store(record.area, value)

    def load(self, area: Area) -> V:
        """The field's value."""
        raise TypeError(f"{type(self).__name__} does not say how it is stored")

    def store(self, area: Area, value: V) -> None:
        """Change the field; by the area's writer only."""
        raise TypeError(f"{type(self).__name__} does not say how it is stored")


class Int64(Word[int]):
    """A signed 64-bit number, loaded and stored in one piece."""

    def load(self, area: Area) -> int:
        """The number."""
        return lib.cw_load(area.pointer, area.size, self.offset)

    def store(self, area: Area, value: int) -> None:
        """Store it in one piece."""
        lib.cw_store(area.pointer, area.size, self.offset, value)


class Flag(Word[bool]):
    """A truth value."""

    def load(self, area: Area) -> bool:
        """The truth value."""
        return lib.cw_load(area.pointer, area.size, self.offset) != 0

    def store(self, area: Area, value: bool) -> None:
        """Store it."""
        lib.cw_store(area.pointer, area.size, self.offset, 1 if value else 0)


class Text(Word[str]):
    """Up to ``length`` UTF-8 bytes, double-buffered; what is longer is cut at a character."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.size = lib.cw_snapshot_size(2 + length)

    def version(self, record: Record) -> int:
        """Grows with every change of the text: much cheaper to look at than the text."""
        area = record.area
        return lib.cw_snapshot_sequence(area.pointer + self.offset, self.size)

    def load(self, area: Area) -> str:
        """The newest complete text; empty before the first."""
        buffer = bytearray(2 + self.length)
        # A text changes seldom: the writer cannot overtake a reader this often.
        lib.cw_snapshot_read(
            area.pointer + self.offset, self.size, ffi.from_buffer(buffer), len(buffer), 0, 1000
        )
        length = int.from_bytes(buffer[:2], "little")
        return buffer[2 : 2 + length].decode("utf-8", "replace")

    def store(self, area: Area, value: str) -> None:
        """Publish the text."""
        data = value.encode()[: self.length].decode("utf-8", "ignore").encode()
        block = len(data).to_bytes(2, "little") + data.ljust(self.length, b"\0")
        lib.cw_snapshot_write(area.pointer + self.offset, self.size, block, len(block))


class Record:
    """An area with named fields; a subclass declares them as `Word` class attributes."""

    size: ClassVar[int] = 0
    """Bytes of the area, whole cache lines."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        position = cls.size
        for cell in vars(cls).values():
            if isinstance(cell, Word):
                # Texts are double buffers and begin on a line of their own.
                cell.offset = position if cell.size == 8 else round_up(position)
                position = cell.offset + cell.size
        cls.size = round_up(position)

    def __init__(self, area: Area) -> None:
        if area.size < self.size:
            raise ValueError(f"{type(self).__name__} needs {self.size} bytes, not {area.size}")
        self.area = area
