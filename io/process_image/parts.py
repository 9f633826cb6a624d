"""Which part of its poll group a tag lies in; a device may have some parts and lack others.

Used where the process image makes its tables; the latch looks at what is written here.
"""

from __future__ import annotations

from typing import Any

from cellwright.io.plan import Device, OnLoss
from cellwright.io.process_image.wire import Placed


def assign_part(placed: Placed, device: Device, parts: Any, group: Any) -> None:
    """Note the tag's part in ``parts`` (bytes by tag), and in the ``struct cw_group`` what of its
    loss faults the cell."""
    address = placed.tag.address
    assert address is not None
    spans = device.parts_of(placed.group)
    part = next((n for n, (start, end) in enumerate(spans) if start <= address.index < end), 0)
    parts[placed.tag.index] = part
    if placed.tag.on_loss is OnLoss.FAULT:
        group.faults = 1
        group.fault_parts |= 1 << part
