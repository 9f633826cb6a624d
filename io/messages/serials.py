"""Messages to a task: what the MES answers to a request for a serial."""

from __future__ import annotations

import msgspec

from cellwright.io.messages.base import Message


class SerialGranted(Message, frozen=True, kw_only=True, tag="serial_granted"):
    """The MES's answer to `SerialRequested`: what to mark on this part."""

    part_id: str
    serial: str
    order: str
    """Work order number, WO-YYYY-NNNNNN."""
    part_number: str
    revision: str = ""
    fields: dict[str, str] = msgspec.field(default_factory=dict)
    """Further content for the template (cage code, heat lot, ...)."""


class SerialRefused(Message, frozen=True, kw_only=True, tag="serial_refused"):
    """No serial for this part now: no running order, order complete, order held."""

    part_id: str
    reason: str


TaskMessage = SerialGranted | SerialRefused
