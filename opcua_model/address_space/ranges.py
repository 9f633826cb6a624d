"""Index ranges of one dimension (OPC 10000-4, 7.27), applied to the value that Read gives."""

from __future__ import annotations

import re
from typing import Final

from asyncua import ua

_RANGE: Final = re.compile(r"(\d{1,9})(?::(\d{1,9}))?")


class RangeError(ValueError):
    """The range is not one, or names nothing; ``code`` is the status for the client."""

    def __init__(self, code: int) -> None:
        super().__init__(f"index range refused with status 0x{code:08X}")
        self.code = code


def bounds(text: str) -> tuple[int, int]:
    """First and last index of ``"3"`` or ``"2:5"``; raises RangeError: Bad_IndexRangeInvalid."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise RangeError(ua.StatusCodes.BadIndexRangeInvalid)
    low = int(match[1])
    high = low if match[2] is None else int(match[2])
    if match[2] is not None and low >= high:
        raise RangeError(ua.StatusCodes.BadIndexRangeInvalid)
    return low, high


def cut(value: ua.Variant | None, text: str) -> ua.Variant:
    """The part of an array, String or ByteString that ``"3"`` or ``"2:5"`` names.

    Raises RangeError: Bad_IndexRangeInvalid for text that is no range, Bad_IndexRangeNoData when
    the value has nothing there.
    """
    low, high = bounds(text)
    if value is None or not isinstance(value.Value, list | str | bytes) or low >= len(value.Value):
        raise RangeError(ua.StatusCodes.BadIndexRangeNoData)
    return ua.Variant(value.Value[low : high + 1], value.VariantType, is_array=bool(value.is_array))
