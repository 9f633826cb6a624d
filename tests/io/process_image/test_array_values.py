"""Arrays in a value area: what is stored does not depend on how quickly it could be."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellwright.io.image import ValueViews, writer
from cellwright.io.plan import REALS, SIZE, Code, TagType, integer_range
from support.plans import make_tag

CODES = [code for code in Code if code is not Code.STRING]
COUNT = 4


def items(code: Code) -> st.SearchStrategy[Any]:
    """Values of the type, of others that it takes, and of some that it does not."""
    if code is Code.BOOL:
        own: st.SearchStrategy[Any] = st.booleans() | st.sampled_from([0, 1])
    elif code in REALS:
        own = st.floats(width=32 if code is Code.REAL else 64) | st.integers(-1000, 1000)
    else:
        own = st.integers(*integer_range(code))
    return own | st.sampled_from([True, 2, -1, 300, 2**64, 1e39, -1e39, math.nan, "x", None])


def checked(kind: TagType, value: list[Any]) -> list[Any] | str:
    """What the type holds of a value, or why it does not take it."""
    try:
        found = kind.check(value)
    except ValueError as error:
        return str(error)
    assert isinstance(found, list)
    return found


def one_by_one(code: Code, values: list[Any]) -> bytes:
    """The bytes of so many scalars."""
    area = memoryview(bytearray(8))
    write, size = writer(ValueViews(area), make_tag("s", code.name)), SIZE[code]
    stored = b""
    for value in values:
        write(value)
        stored += bytes(area[:size])
    return stored


@given(st.data())
def test_an_array_is_stored_as_its_items_would_be_or_refused_as_a_whole(
    data: st.DataObject,
) -> None:
    code = data.draw(st.sampled_from(CODES))
    kind = TagType(code, 0, COUNT, is_array=True)
    value = data.draw(st.lists(items(code), min_size=COUNT - 1, max_size=COUNT + 1))
    area = memoryview(bytearray(64))
    write = writer(ValueViews(area), make_tag("a", str(kind)))
    expected = checked(kind, value)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=re.escape(f"tag a: {expected}")):
            write(value)
        assert bytes(area) == bytes(64)
    else:
        write(value)
        assert bytes(area) == one_by_one(code, expected).ljust(64, b"\0")


@pytest.mark.parametrize("value", [(1.0,) * COUNT, {1.0: 1, 2.0: 1, 3.0: 1, 4.0: 1}, "abcd", 1.0])
def test_only_lists_and_tuples_are_arrays(value: Any) -> None:
    area = memoryview(bytearray(64))
    write = writer(ValueViews(area), make_tag("a", f"ARRAY[0..{COUNT - 1}] OF LREAL"))
    if isinstance(value, tuple):
        write(value)
    else:
        with pytest.raises(ValueError, match="takes a list of 4 values"):
            write(value)
