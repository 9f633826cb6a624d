"""Pages of a list: which rows, and how many there are."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cellwright.mes.kernel.actions import MAX_LIMIT, PageRequest
from cellwright.mes.kernel.errors import Detail, MesError

MAX_PAGE = 10**9


def check(request: PageRequest) -> None:
    """Raises MesError ``invalid_page`` for a page below 1 or a limit that is not 1 to 1000."""
    details = []
    if not 1 <= request.page <= MAX_PAGE:
        details.append(Detail("page", f"is {request.page}; pages are counted from 1"))
    if not 1 <= request.limit <= MAX_LIMIT:
        details.append(Detail("limit", f"is {request.limit}; give 1 to {MAX_LIMIT}"))
    if details:
        text = "; ".join(f"{detail.field} {detail.message}" for detail in details)
        raise MesError("invalid_page", text, details)


def page_of(
    session: Session, statement: Select[Any], request: PageRequest
) -> tuple[list[Any], int]:
    """The rows of that page and the number of all. ``statement`` is in its final order."""
    check(request)
    counted: Any = statement.order_by(None).options().subquery()
    total = session.scalar(select(func.count()).select_from(counted)) or 0
    rows = session.scalars(
        statement.limit(request.limit).offset((request.page - 1) * request.limit)
    ).all()
    return list(rows), int(total)
