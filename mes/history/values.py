"""Between a tag's type and what is recorded of it: kinds, and values as Python has them."""

from __future__ import annotations

import struct
from typing import Any

from cellwright.io.plan import FORMAT, Code, TagType
from cellwright.mes.history.batch import Batch, Kind, Words
from cellwright.mes.history.summary import WIDE


def kind_of(type_: TagType) -> Kind:
    """How the values of a type are recorded."""
    if type_.is_array or type_.code is Code.STRING:
        return Kind.TEXT
    if type_.code in (Code.REAL, Code.LREAL):
        return Kind.FLOAT
    return Kind.UNSIGNED if type_.code is Code.ULINT else Kind.INTEGER


def recorded(type_: TagType, batch: Batch, row: int) -> Any:
    """The value of a row as the image has it: TIME in nanoseconds, an array as a list."""
    kind = Kind(int(batch.kind[row]))
    if kind is Kind.TEXT:
        return content(type_, batch.texts[int(batch.bits[row])])
    return number(type_, batch.bits[row : row + 1], kind)


def number(type_: TagType, bits: Words, kind: Kind) -> bool | int | float:
    """What one word of bits means."""
    found: bool | int | float = bits.view(WIDE[kind])[0].item()
    return bool(found) if type_.code is Code.BOOL else found


def content(type_: TagType, raw: bytes) -> Any:
    """What was recorded as bytes: a text, or an array as it lies in the image."""
    if not type_.is_array:
        return raw.decode(errors="replace")
    size = type_.item_size
    if type_.code is Code.STRING:
        items = [raw[at : at + size] for at in range(0, len(raw), size)]
        return [
            item[2 : 2 + int.from_bytes(item[:2], "little")].decode(errors="replace")
            for item in items
        ]
    return list(struct.unpack(f"<{len(raw) // size}{FORMAT[type_.code]}", raw))
