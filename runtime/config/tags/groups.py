"""Packs the addresses of a device's tags into as few requests as its areas allow.

Called by the compiler once all tags are known to be right. Inputs may be read together with a
small gap between them; outputs never touch an address that no tag owns, because writing an
unknown coil moves something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cellwright.io.drivers.base import AddressArea
from cellwright.io.plan import MOST_PARTS, Address, PollGroup, SafeAction, Scale, Value
from cellwright.runtime.config.tags.addresses import encode, width

GAP_WORDS: Final = 16
"""Unused words that are cheaper to read than a second request, when the device says nothing."""
GAP_BITS: Final = 64
ALIGNMENT: Final = 8
"""Each payload begins at a multiple of it, so that packed bits can be moved by the word."""


@dataclass(frozen=True, slots=True)
class Point:
    """One tag at its place in a device; the safe parts count for outputs only."""

    address: Address
    output: bool
    scale: Scale | None = None
    safe_action: SafeAction = SafeAction.OFF
    safe: Value | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """What `PollGroup` needs of a device."""

    groups: tuple[PollGroup, ...]
    input_size: int
    output_size: int
    safe_outputs: bytes
    hold_mask: bytes
    parts: tuple[tuple[tuple[int, int], ...], ...] = ()


def pack(areas: Sequence[AddressArea], points: Sequence[Point], gap: int | None = None) -> Packed:
    """Groups, sizes and safe payload; inputs come before outputs, areas in their order.

    ``gap``: most unused words or bits between two inputs of one group; None: the usual ones.
    """
    groups: list[PollGroup] = []
    parts: list[tuple[tuple[int, int], ...]] = []
    sizes = {False: 0, True: 0}
    for output in (False, True):
        for area in areas:
            spans = sorted(
                (point.address.index, point.address.index + width(point.address.wire, area))
                for point in points
                if point.output is output and point.address.area == area.name
            )
            for start, end in merge(spans, area, output, gap):
                within = [span for span in knots(spans) if start <= span[0] < end]
                parts.append(() if output else divide(within))
                size = -(-(end - start) // 8) if area.bits else 2 * (end - start)
                groups.append(
                    PollGroup(
                        index=len(groups),
                        area=area.name,
                        start=start,
                        count=end - start,
                        output=output,
                        offset=sizes[output],
                        size=size,
                    )
                )
                sizes[output] += -(-size // ALIGNMENT) * ALIGNMENT
    safe, hold = _safe_payload(areas, groups, points, sizes[True])
    return Packed(tuple(groups), sizes[False], sizes[True], safe, hold, tuple(parts))


def divide(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The parts of a group: its ``spans``, or equal numbers of neighbours when there are many."""
    share = -(-len(spans) // MOST_PARTS)
    return tuple(
        (spans[first][0], spans[min(first + share, len(spans)) - 1][1])
        for first in range(0, len(spans), share)
    )


def knots(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (start, end) that overlap, joined: what must travel together; ``spans`` sorted."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def merge(
    spans: Sequence[tuple[int, int]], area: AddressArea, output: bool, gap: int | None = None
) -> list[tuple[int, int]]:
    """Disjoint requests that carry the spans (start, end) whole; ``spans`` must be sorted."""
    usual = GAP_BITS if area.bits else GAP_WORDS
    gap = 0 if output else usual if gap is None else gap
    joined: list[tuple[int, int]] = []
    for start, end in knots(spans):
        if joined:
            first, last = joined[-1]
            if start - last <= gap and max(last, end) - first <= area.per_request:
                joined[-1] = (first, max(last, end))
                continue
        joined.append((start, end))
    return joined


def _safe_payload(
    areas: Sequence[AddressArea], groups: Sequence[PollGroup], points: Sequence[Point], size: int
) -> tuple[bytes, bytes]:
    safe, hold = bytearray(size), bytearray(size)
    by_name = {area.name: area for area in areas}
    for point in points:
        if not point.output:
            continue
        area = by_name[point.address.area]
        start, count = point.address.index, width(point.address.wire, area)
        group = next(
            group
            for group in groups
            if group.output
            and group.area == area.name
            and group.start <= start
            and start + count <= group.start + group.count
        )
        if area.bits:
            _mark_bits(group, point, start - group.start, safe, hold)
        else:
            _mark_words(group.offset + 2 * (start - group.start), 2 * count, point, safe, hold)
    return bytes(safe), bytes(hold)


def _mark_bits(
    group: PollGroup, point: Point, first: int, safe: bytearray, hold: bytearray
) -> None:
    values = point.safe if isinstance(point.safe, list) else [point.safe]
    for number in range(point.address.wire.count):
        place, bit = divmod(first + number, 8)
        if point.safe_action is SafeAction.HOLD:
            hold[group.offset + place] |= 1 << bit
        elif point.safe_action is SafeAction.VALUE and values[number]:
            safe[group.offset + place] |= 1 << bit


def _mark_words(offset: int, size: int, point: Point, safe: bytearray, hold: bytearray) -> None:
    """``size``: bytes of the point in the payload, which is not its size in the image."""
    if point.safe_action is SafeAction.HOLD:
        if point.address.bit is not None:
            data = encode(True, point.address, None)
        else:
            data = b"\xff" * size
        target = hold
    elif point.safe_action is SafeAction.VALUE and point.safe is not None:
        data = encode(point.safe, point.address, point.scale)
        target = safe
    else:
        return
    for place, byte in enumerate(data):
        target[offset + place] |= byte
