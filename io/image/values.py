"""Reading and writing a tag's value in a value area, as fast as Python allows.

`reader` and `writer` make one small callable a tag, bound to its place; the process image and the
snapshot readers keep a table of them. Strings are a 16-bit length and UTF-8 bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import partial
from operator import getitem
from typing import Any

from cellwright.io.plan import FORMAT, REAL_END, REALS, Code, Tag, Value

Reader = Callable[[], Any]
Writer = Callable[[Any], None]


class ValueViews:
    """A value area seen as an array of each elementary type. ``view`` is whole 8-byte words."""

    def __init__(self, view: memoryview) -> None:
        self.bytes = view.cast("B") if view.format != "B" else view
        self.typed = {code: self.bytes.cast(FORMAT[code]) for code in FORMAT}  # type: ignore[call-overload]
        self.words = self.bytes.cast("H")


def reader(views: ValueViews, tag: Tag) -> Reader:
    """A callable that gives the tag's present value."""
    kind = tag.type
    if kind.code is Code.STRING:
        places = [tag.offset + index * kind.item_size for index in range(kind.count)]
        if not kind.is_array:
            return _string_reader(views, tag.offset, kind.length)
        items = [_string_reader(views, place, kind.length) for place in places]
        return lambda: [item() for item in items]
    view = views.typed[kind.code]
    first = tag.offset // view.itemsize
    if kind.is_array:
        part = view[first : first + kind.count]
        read: Reader = part.tolist
        return read
    return partial(getitem, view, first)


def _string_reader(views: ValueViews, offset: int, longest: int) -> Callable[[], str]:
    words, data, place, start = views.words, views.bytes, offset // 2, offset + 2

    def read() -> str:
        return str(data[start : start + min(words[place], longest)], "utf-8", "replace")

    return read


def writer(views: ValueViews, tag: Tag) -> Writer:
    """A callable that stores a value; raises ValueError naming the tag when it does not fit."""
    kind = tag.type
    if kind.is_array:
        return _array_writer(views, tag)
    if kind.code is Code.STRING:
        return _string_writer(views, tag, tag.offset)
    if kind.code is Code.BOOL:
        return _bool_writer(views, tag)
    if kind.code in REALS:
        return _real_writer(views, tag)
    return _integer_writer(views, tag)


def _refused(tag: Tag, value: object) -> ValueError:
    try:
        tag.type.check(value)
    except ValueError as error:
        return ValueError(f"tag {tag.name}: {error}")
    return ValueError(f"tag {tag.name}: {tag.type} does not hold {value!r}")


def _bool_writer(views: ValueViews, tag: Tag) -> Writer:
    view, place = views.typed[Code.BOOL], tag.offset

    def write(value: Any) -> None:
        if value is True or value is False or value in (0, 1):
            view[place] = value
        else:
            raise _refused(tag, value)

    return write


def _integer_writer(views: ValueViews, tag: Tag) -> Writer:
    view = views.typed[tag.type.code]
    place = tag.offset // view.itemsize

    def write(value: Any) -> None:
        if value.__class__ is bool:
            raise _refused(tag, value)
        try:
            view[place] = value
        except (TypeError, ValueError, OverflowError):
            raise _refused(tag, value) from None

    return write


def _real_writer(views: ValueViews, tag: Tag) -> Writer:
    view = views.typed[tag.type.code]
    place = tag.offset // view.itemsize
    rounds = tag.type.code is Code.REAL

    def write(value: Any) -> None:
        if value.__class__ is not float and (
            value.__class__ is bool or not isinstance(value, int | float)
        ):
            raise _refused(tag, value)
        if rounds and not -REAL_END < value < REAL_END and _overflows(value):
            raise _refused(tag, value)
        try:
            view[place] = value
        except OverflowError:
            raise _refused(tag, value) from None

    return write


def _overflows(value: float) -> bool:
    # Infinity and NaN are REAL values; a finite number beyond the largest is not.
    return math.isfinite(value)


def _string_writer(views: ValueViews, tag: Tag, offset: int) -> Writer:
    words, data, place, start = views.words, views.bytes, offset // 2, offset + 2
    longest, size = tag.type.length, tag.type.item_size - 2

    def write(value: Any) -> None:
        if not isinstance(value, str):
            raise _refused(tag, value)
        encoded = value.encode("utf-8", "surrogatepass")
        if len(encoded) > longest:
            raise _refused(tag, value)
        # Zero padding makes equal strings equal bytes, which the change detection relies on.
        data[start : start + size] = encoded.ljust(size, b"\0")
        words[place] = len(encoded)

    return write


def _array_writer(views: ValueViews, tag: Tag) -> Writer:
    kind = tag.type
    if kind.code is Code.STRING:
        items = [
            _string_writer(views, tag, tag.offset + index * kind.item_size)
            for index in range(kind.count)
        ]

        def write_strings(value: Any) -> None:
            try:
                checked = kind.check(value)
            except ValueError as error:
                raise ValueError(f"tag {tag.name}: {error}") from None
            assert isinstance(checked, list)
            for item, text in zip(items, checked, strict=True):
                item(text)

        return write_strings
    view = views.typed[kind.code]
    first = tag.offset // view.itemsize
    # What programs write in every cycle, a list of the very type, is not looked at one by one.
    packer = struct.Struct(f"={kind.count}{FORMAT[kind.code]}")
    data, begin, end = views.bytes, tag.offset, tag.offset + packer.size
    plain = {float if kind.code in REALS else bool if kind.code is Code.BOOL else int}

    def write(value: Any) -> None:
        if value.__class__ is list and set(map(type, value)) == plain:
            try:
                packed = packer.pack(*value)
            except (struct.error, OverflowError):
                pass  # too many, too few or too large: told below
            else:
                data[begin:end] = packed
                return
        try:
            checked = kind.check(value)
        except ValueError as error:
            raise ValueError(f"tag {tag.name}: {error}") from None
        assert isinstance(checked, list)
        for place, item in enumerate(checked, first):
            view[place] = item

    return write


def store_initial(views: ValueViews, tag: Tag, value: Value) -> None:
    """Store a value once, without keeping a writer."""
    writer(views, tag)(value)
