"""Addresses of tags in devices: spelling, fit with the device's areas, form on the wire.

Pure functions: the tag phase calls them and knows the place in the file. The wire forms are those
that `cellwright.io.plan.PollGroup` describes.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cellwright.io.drivers.base import AddressArea
from cellwright.io.files.problems import Complaint
from cellwright.io.plan import (
    FORMAT,
    INTEGERS,
    REALS,
    Address,
    Code,
    Scalar,
    Scale,
    TagType,
    Value,
    WireOrder,
    integer_range,
)
from cellwright.io.plan.iec import meant

_SPELLING: Final = re.compile(
    r"(?P<device>[A-Za-z_]\w*)\.(?P<area>[A-Za-z_]\w*)\[(?P<index>\d{1,9})\](?:\.(?P<bit>\d{1,3}))?",
    re.ASCII,
)
_WIRE_CODES: Final = (
    Code.INT,
    Code.UINT,
    Code.DINT,
    Code.UDINT,
    Code.LINT,
    Code.ULINT,
    Code.REAL,
    Code.LREAL,
)


_AREAS_BY_DIGIT: Final = {
    "0": "coils",
    "1": "discrete_inputs",
    "3": "input_registers",
    "4": "holding_registers",
}
_NUMBER: Final = re.compile(r"(?:^|[.\[ ])([0134]\d{4,5})\]?$", re.ASCII)


def _numbered(number: str) -> tuple[str, int] | None:
    """Area and index of a register number of the old convention, 40001 or 400001."""
    index = int(number[1:]) - 1
    area = _AREAS_BY_DIGIT.get(number[0])
    return (area, index) if area is not None and 0 <= index <= 65535 else None


def register_number(spelled: Spelled) -> int | None:
    """The index that is meant when an index looks like a register number of its area."""
    place = _numbered(str(spelled.index)) if spelled.index >= 10_000 else None
    return place[1] if place is not None and place[0] == spelled.area else None


@dataclass(frozen=True, slots=True)
class Spelled:
    """An address as written, its parts not yet looked up."""

    device: str
    area: str
    index: int
    bit: int | None


def parse(text: str) -> Spelled:
    """Take ``device.area[index]`` or ``device.area[index].bit`` apart; raises Complaint."""
    match = _SPELLING.fullmatch(text.strip())
    number = _NUMBER.search(text) if match is None else None
    place = _numbered(number[1]) if number is not None else None
    if place is not None:
        area, index = place
        device = text.strip().partition(".")[0] if "." in text else "device"
        raise Complaint(
            f"'{text}' is a register number and not an address",
            f"an address is device.area[index], and indexes count from 0: "
            f"number {number[1] if number else ''} is the index {index} of {area}",
            f"write {device}.{area}[{index}]",
        )
    if match is None:
        raise Complaint(
            f"'{text}' is not an address",
            "an address is device.area[index], with .bit for one bit of a word",
            "write one like remote_io.coils[0] or remote_io.input_registers[4].2",
        )
    bit = int(match["bit"]) if match["bit"] is not None else None
    return Spelled(match["device"], match["area"], int(match["index"]), bit)


def wire_type(
    tag: TagType,
    area: AddressArea,
    bit: int | None,
    raw: Sequence[float] | None,
    declared: str | None,
) -> TagType:
    """Type of the value in the device; raises Complaint when tag and area do not fit.

    ``raw`` is the raw span of a scaled tag, ``declared`` the key ``wire``.
    """
    if area.bits:
        if tag.code is not Code.BOOL:
            raise Complaint(
                f"{tag} does not fit into {area.name}",
                "that area holds single bits",
                "make the tag a BOOL or use an area of words",
            )
        _no_extras(f"{area.name} holds single bits", bit, raw, declared)
        return tag
    if tag.code is Code.TIME:
        raise Complaint(
            f"{tag} cannot be read from or written to a device",
            "devices move bits, integers, reals and texts",
            "make it a memory tag, or use an integer type with a scale",
        )
    if tag.code is Code.STRING:
        _no_extras("a text is bytes, two to a word", bit, raw, None)
        return tag if declared is None else _text(tag, declared)
    if tag.code is Code.BOOL:
        return _bit_in_word(tag, area, bit, raw, declared)
    if bit is not None:
        raise Complaint(
            f"{tag} cannot lie at bit {bit}",
            "one bit holds a BOOL",
            "drop the bit from the address or make the tag a BOOL",
        )
    code = _declared(declared) if declared is not None else _default(tag, raw)
    if raw is not None and code in INTEGERS:
        low, high = integer_range(code)
        if min(raw) < low or max(raw) > high:
            raise Complaint(
                f"the raw span {raw[0]:g} to {raw[1]:g} does not fit into {code.name}",
                f"{code.name} holds {low} to {high}",
                "correct the span or give the type in the device with `wire`",
            )
    return TagType(code, 0, tag.count, tag.is_array)


def _no_extras(
    why: str, bit: int | None, raw: Sequence[float] | None, declared: str | None
) -> None:
    if bit is not None:
        raise Complaint(f"bit {bit} of what has no bits", why, "drop the .bit from the address")
    if raw is not None:
        raise Complaint("only numbers can be scaled", why, "delete `scale`")
    if declared is not None:
        raise Complaint("`wire` applies to numbers only", why, "delete `wire`")


def _text(tag: TagType, declared: str) -> TagType:
    try:
        wire = TagType.parse(declared)
    except ValueError:
        wire = tag
    if wire.code is not Code.STRING or "[" in declared:
        raise Complaint(
            f"'{declared}' is no text",
            "a STRING is one in the device too",
            "write its length there, like `wire: STRING(20)`",
        )
    return TagType(Code.STRING, wire.length, tag.count, tag.is_array)


def _bit_in_word(
    tag: TagType,
    area: AddressArea,
    bit: int | None,
    raw: Sequence[float] | None,
    declared: str | None,
) -> TagType:
    why = f"{area.name} holds words of 16 bits"
    if tag.is_array:
        raise Complaint(f"{tag} cannot lie in words", why, "declare one BOOL for each bit")
    if bit is None:
        raise Complaint(
            "the address of a BOOL in a word needs its bit", why, "add .0 to .15 to the address"
        )
    if bit > 15:
        raise Complaint(f"there is no bit {bit}", why, "count bits from 0, the lowest, to 15")
    _no_extras(why, None, raw, declared)
    return tag


def _declared(text: str) -> Code:
    try:
        code = TagType.parse(text).code
    except ValueError:
        code = Code.BOOL
    if code not in _WIRE_CODES or "[" in text:
        raise Complaint(
            f"'{text}' is not a type of words",
            "a value in a device is made of 16-bit words",
            f"write {other}"
            if (other := meant(text)) is not None
            else "write one of " + ", ".join(known.name for known in _WIRE_CODES),
        )
    return code


def _default(tag: TagType, raw: Sequence[float] | None) -> Code:
    if raw is None:
        return {Code.SINT: Code.INT, Code.USINT: Code.UINT}.get(tag.code, tag.code)
    for code in (Code.UINT, Code.INT):
        low, high = integer_range(code)
        if low <= min(raw) and max(raw) <= high:
            return code
    raise Complaint(
        f"the raw span {raw[0]:g} to {raw[1]:g} does not fit into one word",
        "a word holds 0 to 65535 or -32768 to 32767",
        "give the type in the device, for example `wire: DINT`",
    )


def scale_of(
    tag: TagType, wire: TagType, raw: Sequence[float] | None, eng: Sequence[float] | None
) -> Scale | None:
    """Linear scaling for the tag; a type that merely changes its width has gain 1."""
    if raw is not None and eng is not None:
        gain = (eng[1] - eng[0]) / (raw[1] - raw[0])
        offset = eng[0] - gain * raw[0]
        if not math.isfinite(offset) or not 1e-300 < abs(gain) < 1e300 or max(map(abs, raw)) > 3e38:
            raise Complaint(
                "the scale cannot be computed",
                "its numbers are too large or too small for an LREAL",
                "give the raw and engineering values at both ends of the sensor's range",
            )
        return Scale(gain, offset, min(raw), max(raw))
    if wire.code is tag.code:
        return None
    low, high = map(float, integer_range(wire.code)) if wire.code in INTEGERS else (-3e38, 3e38)
    return Scale(1.0, 0.0, low, high)


def width(wire: TagType, area: AddressArea) -> int:
    """How many bits or words of the area the value takes."""
    if area.bits or wire.code is Code.BOOL:
        return wire.count
    size = wire.length + 1 if wire.code is Code.STRING else wire.item_size
    return wire.count * (size // 2)


def check_place(spelled: Spelled, wire: TagType, area: AddressArea) -> None:
    """Raises Complaint when the value does not lie within the area or one request."""
    count = width(wire, area)
    unit = "bits" if area.bits else "words"
    if spelled.index + count > area.size:
        raise Complaint(
            f"{area.name}[{spelled.index}] lies outside the area",
            f"the value takes {count} {unit} and the area ends at {area.size - 1}",
            f"use an index from 0 to {max(area.size - count, 0)}"
            if (meant_index := register_number(spelled)) is None
            else f"indexes count from 0: the register number {spelled.index} is the index"
            f" {meant_index}",
        )
    if count > area.per_request:
        raise Complaint(
            f"the value takes {count} {unit}",
            f"one request carries {area.per_request} and a value is never torn",
            "split the array",
        )


def encode(value: Value, address: Address, scale: Scale | None) -> bytes:
    """A value of a word area as the device gets it: 16-bit big-endian words in their order."""
    items: Sequence[Scalar] = value if isinstance(value, list) else [value]
    return b"".join(_encode_item(item, address, scale) for item in items)


def _encode_item(item: Scalar, address: Address, scale: Scale | None) -> bytes:
    code = address.wire.code
    if code is Code.STRING:
        text = (
            str(item)
            .encode(address.encoding)[: address.wire.length]
            .ljust(address.wire.length + address.wire.length % 2, b"\0")
        )
        # Texts lie in reading order, so only the bytes within a word may be swapped.
        swapped = address.order in (WireOrder.BADC, WireOrder.DCBA)
        return reorder(text, WireOrder.BADC if swapped else WireOrder.ABCD)
    if code is Code.BOOL:
        data = struct.pack(">H", int(bool(item)) << (address.bit or 0))
    else:
        raw = float(item) if code in REALS else item
        if scale is not None:
            raw = to_raw(float(item), scale)
            if code in INTEGERS:
                low, high = integer_range(code)  # a float just above 2**63 may round up
                raw = min(max(_round(raw), low), high)
        data = struct.pack(">" + FORMAT[code], raw)
    return reorder(data, address.order)


def _round(value: float) -> int:
    """Half away from zero, as the commit rounds."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def to_raw(eng: float, scale: Scale) -> float:
    """The raw value, clamped to the raw span."""
    return min(max((eng - scale.offset) / scale.gain, scale.raw_low), scale.raw_high)


def reorder(data: bytes, order: WireOrder) -> bytes:
    """Big-endian bytes brought into another order of words and of bytes in a word."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in (WireOrder.CDAB, WireOrder.DCBA):
        words.reverse()
    if order in (WireOrder.BADC, WireOrder.DCBA):
        words = [word[::-1] for word in words]
    return b"".join(words)
