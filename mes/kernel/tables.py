"""Tables that belong to no domain: counters and answers given before."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from cellwright.mes.kernel.base import Base, Retention, Scoped


class Counter(Scoped, Base):
    """The last number given out under a name (order numbers of a year, serials of a pattern)."""

    __tablename__ = "counter"
    retention = Retention.WORKING

    tenant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class AnsweredRequest(Scoped, Base):
    """The answer to a request that carried an idempotency key."""

    __tablename__ = "answered_request"
    retention = Retention.WORKING

    tenant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    actor: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    """SHA-256 of the action's name and the whole request."""
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    """JSON of the answer."""
    utc: Mapped[datetime] = mapped_column(index=True)


class RetentionClock(Scoped, Base):
    """How late it is for sure: what the retention service measures ages by, see `retention`."""

    __tablename__ = "retention_clock"
    retention = Retention.WORKING

    tenant_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    site_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    proven_utc: Mapped[datetime]
    boot_id: Mapped[str]
    """Of the computer, at that moment."""
    up_us: Mapped[int]
    """Microseconds since it was started."""
