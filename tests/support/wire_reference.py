"""What latch and commit must do, in plain Python: one value at a time, no tables, no C.

Written from the rules alone (wire forms of `PollGroup`, byte orders, scaling, clamping, rounding),
so that the property tests compare two independent accounts of them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from cellwright.io.plan import (
    FORMAT,
    INTEGERS,
    REALS,
    Code,
    PollGroup,
    Tag,
    WireOrder,
    integer_range,
    quality,
)

REAL_MAX = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]


class NotANumberError(Exception):
    """The element is not a finite number and must not be moved."""


def permute(data: bytes, order: WireOrder) -> bytes:
    """Big-endian bytes to the given order and back: A is the most significant byte."""
    places = {
        WireOrder.ABCD: lambda n: list(range(n)),
        WireOrder.DCBA: lambda n: list(reversed(range(n))),
        WireOrder.CDAB: lambda n: [at for word in range(n - 2, -1, -2) for at in (word, word + 1)],
        WireOrder.BADC: lambda n: [at for word in range(0, n, 2) for at in (word + 1, word)],
    }[order](len(data))
    return bytes(data[at] for at in places)


def half_away(number: float) -> int:
    """Round half away from zero."""
    return int(Decimal(number).to_integral_value(rounding=ROUND_HALF_UP))


def _clamp(value: Any, low: Any, high: Any, note: Callable[[], None]) -> Any:
    if value < low or value > high:
        note()
    return min(max(value, low), high)


def _into(code: Code, value: Any, note: Callable[[], None]) -> Any:
    """The number as a value of that type, clamped into it."""
    if code is Code.LREAL:
        return float(value)
    if code is Code.REAL:
        try:
            rounded: float = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            rounded = math.inf
        if math.isinf(rounded) and math.isfinite(value):
            note()
            return math.copysign(REAL_MAX, value)
        return rounded
    whole = half_away(value) if isinstance(value, float) else value
    low, high = integer_range(code)
    return _clamp(whole, low, high, note)


def words_of(tag: Tag) -> int:
    """How many words an element takes in a word area."""
    assert tag.address is not None
    if tag.type.code is Code.STRING:
        return (tag.address.wire.length + 1) // 2
    if tag.address.wire.code is Code.BOOL:
        return 1
    return struct.calcsize(FORMAT[tag.address.wire.code]) // 2


class Reference:
    """One tag in its group."""

    def __init__(self, tag: Tag, group: PollGroup, *, bits: bool) -> None:
        assert tag.address is not None
        self.tag, self.group, self.bits, self.address = tag, group, bits, tag.address
        self.outside = False

    def _note(self) -> None:
        self.outside = True

    def decode(self, payload: bytes, before: Any) -> tuple[Any, int]:
        """The tag's value and quality after a latch; ``before`` is its value until now."""
        self.outside = False
        old = before if self.tag.type.is_array else [before]
        values, bad = [], False
        for index in range(self.tag.type.count):
            try:
                values.append(self._decode(payload, index))
            except NotANumberError:
                values.append(old[index])
                bad = True
        status = quality.GOOD
        if bad and self.tag.type.code is Code.STRING:
            status = quality.BAD_DECODING_ERROR
        elif bad:
            status = quality.BAD_DEVICE_FAILURE
        elif self.outside:
            status = quality.UNCERTAIN_UNITS_EXCEEDED
        return (values if self.tag.type.is_array else values[0]), status

    def _words(self, payload: bytes, index: int) -> tuple[int, bytes]:
        words = words_of(self.tag)
        start = self.group.offset + 2 * (self.address.index - self.group.start + index * words)
        return start, payload[start : start + 2 * words]

    def _bit_place(self, index: int) -> tuple[int, int]:
        bit = self.address.index - self.group.start + index
        return self.group.offset + bit // 8, bit % 8

    def _decode(self, payload: bytes, index: int) -> Any:
        code, wire = self.tag.type.code, self.address.wire.code
        if self.bits:
            at, bit = self._bit_place(index)
            return bool(payload[at] >> bit & 1)
        _, data = self._words(payload, index)
        if code is Code.STRING:
            if self.address.order in (WireOrder.BADC, WireOrder.DCBA):
                data = permute(data, WireOrder.BADC)
            return self._text(data[: self.address.wire.length].split(b"\0")[0])
        data = permute(data, self.address.order)
        if wire is Code.BOOL:
            return bool(struct.unpack(">H", data)[0] >> (self.address.bit or 0) & 1)
        (raw,) = struct.unpack(">" + FORMAT[wire], data)
        if wire in REALS and not math.isfinite(raw):
            raise NotANumberError
        return self._engineering(raw, code, wire)

    def _text(self, data: bytes) -> str:
        try:
            text = data.decode(self.address.encoding.value)
        except UnicodeDecodeError as error:
            raise NotANumberError from error
        if len(text.encode()) > self.tag.type.length:
            raise NotANumberError
        return text

    def _engineering(self, raw: Any, code: Code, wire: Code) -> Any:
        scale, value = self.tag.scale, raw
        if scale is not None:
            if not scale.raw_low <= float(raw) <= scale.raw_high:
                self._note()
            exact = scale.gain == 1 and scale.offset == 0 and wire not in REALS
            if not (exact and code not in REALS):
                value = scale.gain * float(raw) + scale.offset
                if not math.isfinite(value):
                    raise NotANumberError
        if self.tag.range is not None and not (
            self.tag.range[0] <= float(value) <= self.tag.range[1]
        ):
            self._note()
        return _into(code, value, self._note)

    def encode(self, payload: bytearray, value: Any) -> int:
        """Put the value into the payload; the outcome as a quality."""
        self.outside = False
        bad = False
        for index, item in enumerate(value if self.tag.type.is_array else [value]):
            try:
                self._encode(payload, index, item)
            except NotANumberError:
                bad = True
        if bad:
            return quality.BAD_DEVICE_FAILURE
        return quality.UNCERTAIN_UNITS_EXCEEDED if self.outside else quality.GOOD

    def _encode(self, payload: bytearray, index: int, item: Any) -> None:
        code, wire = self.tag.type.code, self.address.wire.code
        if self.bits:
            at, bit = self._bit_place(index)
            payload[at] = payload[at] & ~(1 << bit) | item << bit
            return
        start, old = self._words(payload, index)
        if code is Code.STRING:
            data = item.encode().ljust(len(old), b"\0")
            if self.address.order in (WireOrder.BADC, WireOrder.DCBA):
                data = permute(data, WireOrder.BADC)
        elif wire is Code.BOOL:
            (word,) = struct.unpack(">H", permute(old, self.address.order))
            mask = 1 << (self.address.bit or 0)
            data = struct.pack(">H", word | mask if item else word & ~mask)
            data = permute(data, self.address.order)
        else:
            raw = self._raw(item, code, wire)
            data = permute(struct.pack(">" + FORMAT[wire], raw), self.address.order)
        payload[start : start + len(data)] = data

    def _raw(self, item: Any, code: Code, wire: Code) -> Any:
        if code in REALS and not math.isfinite(item):
            raise NotANumberError
        value, clamped = item, False
        if self.tag.range is not None:
            low, high = self.tag.range
            if not low <= float(item) <= high:
                self._note()
                value, clamped = (low if float(item) < low else high), True
        scale = self.tag.scale
        if scale is not None:
            raw = (float(value) - scale.offset) / scale.gain
            if not scale.raw_low <= raw <= scale.raw_high:
                self._note()
                raw, clamped = min(max(raw, scale.raw_low), scale.raw_high), True
            exact = scale.gain == 1 and scale.offset == 0
            integers = code not in REALS and wire in INTEGERS | {Code.TIME}
            if clamped or not (exact and integers):
                value = raw
        return _into(wire, value, self._note)
