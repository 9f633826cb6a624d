"""Reads the records of a chain for `verification`, as fast as they can be hashed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import CursorResult
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cellwright.mes.audit.chain import FirstForm, SecondForm, hashed

_FIRST: Final = FirstForm.__struct_fields__
_SECOND: Final = SecondForm.__struct_fields__
_SQLITE_ERROR: Final = 1
"""https://www.sqlite.org/rescode.html: what was asked for cannot be done; the file is whole."""


class Link(NamedTuple):
    """What a walk along the chain needs of a record; readers may give plain tuples."""

    key: int
    """Twice the sequence, and 1 more when the record has format 1."""
    content: bytes
    """The canonical JSON that is hashed."""
    prev_hash: str
    hash: str


class UnreadableError(Exception):
    """The next record cannot be read; the text says why."""


class Records:
    """The records of a chain in their order.

    SQLite writes the canonical JSON itself, which takes three quarters of the time that reading all
    columns and encoding them takes. Whoever finds a record wrong asks `encoded` for it: what
    another version of SQLite escapes in another way must not be taken for a change.
    """

    def __init__(self, session: Session, chain_id: int, chain: str) -> None:
        self._connection = session.connection()
        self._chain_id = chain_id
        self._chain = chain
        self._sqlite = self._connection.dialect.name == "sqlite"

    def read(self, after: int, count: int) -> Sequence[tuple[int, bytes, str, str]]:
        """The records behind that sequence, at most ``count``; see `Link`.

        Raises UnreadableError when already the first one cannot be read.
        """
        if not self._sqlite:
            return self.encoded(after, count)
        result = self._connection.exec_driver_sql(
            _IN_SQLITE, (self._chain, self._chain_id, after, count)
        )
        found = _fetched(result)
        return self.encoded(after, count) if found is None else found

    def encoded(self, after: int, count: int) -> list[tuple[int, bytes, str, str]]:
        """The same, from the columns."""
        try:
            rows: Sequence[Any] | None = _fetched(self._columns(after, count))
            if rows is None:
                rows = self._columns(after, count).all()
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", _SQLITE_ERROR)
            if not self._sqlite or code != _SQLITE_ERROR:
                raise
            if count == 1:
                raise UnreadableError(str(error.orig)) from error
            return self.encoded(after, 1)
        return [self._link(row) for row in rows]

    def _columns(self, after: int, count: int) -> CursorResult[Any]:
        sign = "?" if self._sqlite else "%s"
        return self._connection.exec_driver_sql(
            _BY_COLUMNS.format(sign=sign), (self._chain_id, after, count)
        )

    def _link(self, row: Sequence[Any]) -> tuple[int, bytes, str, str]:
        key, prev_hash, hash_, *fields = row
        if key & 1:
            content: FirstForm | SecondForm = FirstForm(*[fields[place] for place in _PLACES])
        else:
            fields.insert(_SECOND.index("chain"), self._chain)
            content = SecondForm(*fields)
        return key, hashed(content), prev_hash, hash_


def _fetched(result: CursorResult[Any]) -> list[Any] | None:
    """All rows as the driver gives them: SQLAlchemy would wrap each; None: that failed."""
    assert result.cursor is not None
    try:
        return list(result.cursor.fetchall())
    except result.dialect.loaded_dbapi.Error:
        return None  # asked again, SQLAlchemy tells it as its own error
    finally:
        result.close()


def _json_object(fields: Sequence[str]) -> str:
    pairs = (f"'{name}', {name if name != 'chain' else '?'}" for name in fields)
    return f"json_object({', '.join(pairs)})"


_KEY: Final = "CAST(sequence AS BIGINT) * 2 + CASE format WHEN 1 THEN 1 ELSE 0 END"
_FROM: Final = (
    "FROM audit_record WHERE chain_id = {sign} AND sequence > {sign} ORDER BY sequence LIMIT {sign}"
)
_OWN: Final = tuple(name for name in _SECOND if name != "chain")
_PLACES: Final = [_OWN.index(name) for name in _FIRST]
_BY_COLUMNS: Final = f"SELECT {_KEY}, prev_hash, hash, {', '.join(_OWN)} {_FROM}"
_IN_SQLITE: Final = (
    f"SELECT {_KEY}, CAST(CASE format WHEN 1 THEN {_json_object(_FIRST)} "
    f"ELSE {_json_object(_SECOND)} END AS BLOB), prev_hash, hash {_FROM.format(sign='?')}"
)
