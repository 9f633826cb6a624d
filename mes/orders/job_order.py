"""What an order asks for, and what no order may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from cellwright.mes.kernel.errors import Detail, MesError
from cellwright.mes.kernel.text import storable
from cellwright.mes.orders.tables import QuantityCounts

MAX_QUANTITY: Final = 1_000_000
MAX_TEXT: Final = 200
"""Longest id, part number, revision or actor in characters."""

QUANTITY_COUNTS: Final = "quantity_counts"
"""Job order parameter: ``attempted`` (default) or ``good``; see `models.QuantityCounts`."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What the ERP (or an operator) asks for; names follow ISA-95 Job Control (OPC 10031-4)."""

    job_order_id: str
    """Empty: the work order's number."""
    part_number: str
    revision: str | None
    """None: the only revision that the part number has."""
    quantity: int | Decimal
    """Above 0, at most 1,000,000, in the part's base unit; whole for counted units."""
    priority: int = 0
    """Int16; higher goes first."""
    description: str = ""
    start_utc: datetime | None = None
    """Planned start."""
    end_utc: datetime | None = None
    """Planned end."""
    customer_order: str = ""
    target_date: date | None = None
    """When the customer wants it."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """``quantity_counts``, and values for the marking fields that the part definition names."""


def check(job: JobOrder, *, named: bool) -> QuantityCounts:
    """How the order's quantity counts; ``named``: it must have a job order id.

    Raises MesError ``invalid_request`` that names all that no order may say.
    """
    complaints = [
        complaint
        for name, value, optional in (
            ("job_order_id", job.job_order_id, not named),
            ("part_number", job.part_number, False),
            ("revision", job.revision or "", True),
            ("customer_order", job.customer_order, True),
        )
        if (complaint := _complaint(name, value, optional=optional))
    ]
    if isinstance(job.quantity, bool) or not isinstance(job.quantity, int | Decimal):
        complaints.append(f"quantity must be a number, not {job.quantity!r}")
    elif not 0 < job.quantity <= MAX_QUANTITY:  # also what is no number
        complaints.append(f"quantity must be above 0, at most {MAX_QUANTITY}, not {job.quantity:g}")
    if isinstance(job.priority, bool) or not isinstance(job.priority, int):
        complaints.append(f"priority must be a whole number, not {job.priority!r}")
    elif not -32768 <= job.priority <= 32767:
        complaints.append(f"priority must be -32768 to 32767 (Int16), not {job.priority}")
    for name, moment in (("start_utc", job.start_utc), ("end_utc", job.end_utc)):
        if moment is not None and moment.tzinfo is None:
            complaints.append(f"{name} has no time zone; give it in UTC")
    if not complaints and job.start_utc and job.end_utc and job.end_utc < job.start_utc:
        complaints.append("end_utc lies before start_utc")
    texts = [job.description, *job.parameters, *job.parameters.values()]
    if not all(isinstance(text, str) and storable(text) for text in texts):
        complaints.append("description and parameters must be valid text without NUL characters")
    counts = job.parameters.get(QUANTITY_COUNTS, QuantityCounts.ATTEMPTED)
    known = [member.value for member in QuantityCounts]
    if counts not in known:
        complaints.append(f"parameter {QUANTITY_COUNTS} must be {' or '.join(known)}")
    if complaints:
        named_so = f" {job.job_order_id!r:.80}" if job.job_order_id else ""
        raise MesError(
            "invalid_request",
            f"cannot store job order{named_so}: {'; '.join(complaints)}",
            [_detail(complaint) for complaint in complaints],
        )
    return QuantityCounts(counts)


def _detail(complaint: str) -> Detail:
    """The complaint by its field, as requests spell it."""
    name, _, text = complaint.partition(" ")
    first, *rest = name.split("_")
    return Detail(first + "".join(part.capitalize() for part in rest), text)


def check_actor(actor: str, reason: str) -> None:
    complaint = _complaint("actor", actor, optional=False)
    if not complaint and not (isinstance(reason, str) and storable(reason)):
        complaint = "reason must be valid text without NUL characters"
    if complaint:
        raise MesError("invalid_request", f"cannot change a work order: {complaint}")


def _complaint(name: str, value: str, *, optional: bool) -> str:
    if not isinstance(value, str):
        return f"{name} must be text, not {value!r}"
    if not value and not optional:
        return f"{name} is empty"
    if len(value) > MAX_TEXT:
        return f"{name} has {len(value)} characters, at most {MAX_TEXT} are allowed"
    if value and not value.isprintable():
        return f"{name} holds characters that cannot be printed"
    return ""
