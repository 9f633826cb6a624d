"""What every table of the MES is made of: keys, scope, version, times, states, retention.

The models of a room (`tables.py`) stand on it; nobody outside `mes` sees them. Free text has no
length limit: a fact from the journal must never be refused for its size.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from cellwright.mes.kernel.quantity import Amount


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; refuses naive ones. SQLite keeps ISO text, which sorts in time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give it in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


E = TypeVar("E", bound=StrEnum)


class Word(TypeDecorator[E]):
    """One of a fixed set of words, kept as text.

    The enumeration in code is the only list: a new state needs no change of a table that has
    millions of rows.
    """

    impl = String
    cache_ok = True

    def __init__(self, words: type[E]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: E | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:
        return None if value is None else self.words(value)


KEY: Final = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits. SQLite numbers rows by itself only in a column spelled INTEGER, 64 bits wide there."""

JSON_TEXT: Final = JSON().with_variant(JSONB(), "postgresql")


class Retention(StrEnum):
    """How long the rows of a table are kept; only the retention service deletes, and audits it."""

    ORDERS = "7 years"
    QUALITY = "25 years"
    NONCONFORMANCE = "10 years"
    FOREVER = "for ever"
    HISTORY = "thinned out, at last 25 years"
    """`history.keeping` deletes."""
    WORKING = "as long as it is used"
    """Counters, positions, tokens: no record of anything."""


class Base(DeclarativeBase):
    """Common metadata; every constraint has a name, because SQLite batch migrations need one."""

    retention: ClassVar[Retention]
    """Each table says it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - declared so by SQLAlchemy
        datetime: UtcDateTime(),
        str: String(),
        int: BigInteger(),
        Decimal: Amount(),
        dict[str, str]: JSON_TEXT,
        list[str]: JSON_TEXT,
    }


class Keyed:
    """A surrogate key of 64 bits; people see numbers and names instead."""

    id: Mapped[int] = mapped_column(KEY, primary_key=True, sort_order=-3)


class Scoped:
    """Belongs to a tenant and a site, which the session fills in; see `isolation`."""

    tenant_id: Mapped[int] = mapped_column(BigInteger, sort_order=-2)
    site_id: Mapped[int] = mapped_column(BigInteger, sort_order=-1)


class Versioned:
    """Counts the changes of a row from 1; a writer who saw an older one is refused."""

    version: Mapped[int] = mapped_column(Integer, default=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}
