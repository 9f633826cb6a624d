"""Tags with an address compiled to the operations that latch and commit walk.

Made once when the scan attaches; the cycle itself is C. Knows the wire forms that
`cellwright.io.plan.PollGroup` describes and refuses an address that lies in no group.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from cellwright.io.plan import (
    SIZE,
    Code,
    Device,
    Direction,
    Encoding,
    OnLoss,
    Plan,
    PollGroup,
    Tag,
    WireOrder,
)
from cellwright.native import ffi, lib

_ORDER: Final = {
    WireOrder.ABCD: lib.CW_ABCD,
    WireOrder.CDAB: lib.CW_CDAB,
    WireOrder.BADC: lib.CW_BADC,
    WireOrder.DCBA: lib.CW_DCBA,
}
_ON_LOSS: Final = {
    OnLoss.HOLD: lib.CW_HOLD,
    OnLoss.SUBSTITUTE: lib.CW_SUBSTITUTE,
    OnLoss.FAULT: lib.CW_FAULT,
}


class WireError(ValueError):
    """A tag's address and its device's groups do not fit together; the compiler let it pass."""


class Placed(msgspec.Struct, frozen=True):
    """A tag in its device."""

    tag: Tag
    device: int
    group: PollGroup


def holds_bits(group: PollGroup) -> bool:
    """True for a group of bits, False for one of words; its size tells."""
    return group.size == (group.count + 7) // 8


def placed_tags(plan: Plan) -> list[Placed]:
    """All input and output tags with an address, sorted by device, direction and group."""
    numbers = {device.name: index for index, device in enumerate(plan.devices)}
    found = []
    for tag in plan.tags:
        if tag.address is None or tag.direction not in (Direction.INPUT, Direction.OUTPUT):
            continue
        if tag.address.device not in numbers:
            raise WireError(f"tag {tag.name}: the plan has no device {tag.address.device}")
        number = numbers[tag.address.device]
        found.append(Placed(tag, number, group_of(tag, plan.devices[number])))
    return sorted(
        found,
        key=lambda one: (one.device, one.group.output, one.group.index, one.tag.address.index),  # type: ignore[union-attr]
    )


def group_of(tag: Tag, device: Device) -> PollGroup:
    """The group of the device that moves the tag; raises WireError."""
    address = tag.address
    assert address is not None
    output = tag.direction is Direction.OUTPUT
    for group in device.groups:
        if (
            group.area == address.area
            and group.output is output
            and group.start <= address.index < group.start + group.count
        ):
            return group
    raise WireError(
        f"tag {tag.name}: no {'output' if output else 'input'} group of device {device.name} "
        f"covers {address.area}[{address.index}]"
    )


@cache
def charset(encoding: Encoding) -> Any:
    """The table of an encoding for the C side, which keeps no copy; NULL for UTF-8."""
    if encoding is Encoding.UTF_8:
        return ffi.NULL
    return ffi.new("uint16_t[256]", encoding.code_points())


def fill(operation: Any, tag: Tag, group: PollGroup) -> None:
    """Fill a ``struct cw_operation`` for one tag; raises WireError."""
    address = tag.address
    assert address is not None
    kind, wire = tag.type, address.wire
    operation.tag = tag.index
    operation.tags = 1
    operation.value = tag.offset
    operation.count = kind.count
    operation.length, operation.wire_length = kind.length, wire.length
    operation.code = kind.code
    operation.wire = wire.code
    operation.order = _ORDER[address.order]
    operation.on_loss = _ON_LOSS[tag.on_loss]
    operation.size = 0 if kind.code is Code.STRING else SIZE[kind.code]
    within = address.index - group.start
    if holds_bits(group):
        if kind.code is not Code.BOOL:
            raise WireError(f"tag {tag.name}: a {kind} cannot lie in the bits of {group.area}")
        operation.form = lib.CW_FORM_BITS
        operation.place = group.offset + within // 8
        operation.bit = within % 8
        taken, unit = kind.count, "bits"
    else:
        operation.place = group.offset + 2 * within
        operation.form, words = _form(tag)
        operation.wire_size = 0 if kind.code is Code.STRING else 2 * words
        operation.bit = address.bit or 0
        if kind.code is Code.STRING:
            operation.charset = charset(address.encoding)
        taken, unit = words * kind.count, "words"
    if within + taken > group.count:
        raise WireError(
            f"tag {tag.name}: {taken} {unit} from {group.area}[{address.index}] reach beyond the "
            f"group, which ends at {group.start + group.count - 1}"
        )
    _add_numbers(operation, tag)


def _form(tag: Tag) -> tuple[int, int]:
    """How the value lies in words, and how many words an element takes."""
    kind = tag.type
    assert tag.address is not None
    wire = tag.address.wire
    if kind.code is Code.STRING:
        return lib.CW_FORM_TEXT, -(-wire.length // 2)
    if kind.code is Code.BOOL and wire.code is Code.BOOL:
        return lib.CW_FORM_WORD_BIT, 1
    if wire.code in (Code.STRING, Code.BOOL) or SIZE[wire.code] < 2:
        raise WireError(
            f"tag {tag.name}: a {kind} cannot be made of {wire} in words; use INT or wider"
        )
    words = SIZE[wire.code] // 2
    if wire.code is kind.code and tag.scale is None:
        return lib.CW_FORM_COPY, words
    return lib.CW_FORM_NUMBER, words


def _add_numbers(operation: Any, tag: Tag) -> None:
    if tag.scale is not None:
        operation.flags |= lib.CW_SCALED
        operation.gain, operation.offset = tag.scale.gain, tag.scale.offset
        operation.raw_low = min(tag.scale.raw_low, tag.scale.raw_high)
        operation.raw_high = max(tag.scale.raw_low, tag.scale.raw_high)
        if tag.scale.gain == 0.0:
            raise WireError(f"tag {tag.name}: a gain of 0 has no inverse")
    if tag.range is not None and tag.type.code not in (Code.BOOL, Code.STRING):
        operation.flags |= lib.CW_RANGED
        operation.range_low, operation.range_high = min(tag.range), max(tag.range)


_KIND: Final = (
    "length",
    "form",
    "wire",
    "code",
    "order",
    "flags",
    "on_loss",
    "size",
    "wire_size",
    "gain",
    "offset",
    "raw_low",
    "raw_high",
    "range_low",
    "range_high",
)


def merge(last: Any, one: Any) -> bool:
    """Let operation ``last`` take over ``one`` when that goes on where ``last`` ends.

    Then one pass over many tags does the work of many operations. Only bits and numbers of the
    same kind, in the same order as tags, in the image and in the device.
    """
    if one.form not in (lib.CW_FORM_BITS, lib.CW_FORM_COPY, lib.CW_FORM_NUMBER):
        return False
    if any(getattr(last, name) != getattr(one, name) for name in _KIND):
        return False
    if last.form == lib.CW_FORM_BITS:
        meets = last.place * 8 + last.bit + last.count == one.place * 8 + one.bit
    else:
        meets = last.place + last.count * last.wire_size == one.place
    if not (
        meets
        and last.tag + last.tags == one.tag
        and last.value + last.count * last.size == one.value
        and last.count == last.tags * one.count
    ):
        return False
    last.tags += 1
    last.count += one.count
    return True


def new_operations(count: int) -> Any:
    """A zeroed table for ``count`` operations and one more to try."""
    return ffi.new("struct cw_operation[]", count + 1)
