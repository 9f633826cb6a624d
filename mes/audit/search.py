"""Search of the audit by words, as people write them.

All words must be in a record, in any of action, entity, actor, reason, old and new; case does not
matter. ``WO-2026*`` is the beginning of a word, ``"out of tolerance"`` are words in a row.
Revision 0003 of the store keeps the index: FTS5 on SQLite, a GIN index over a tsvector on
PostgreSQL. What a user writes reaches neither as an operator.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    FromClause,
    Select,
    Text,
    and_,
    cast,
    column,
    false,
    func,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.orm import Session

from cellwright.mes.audit.tables import AuditRecord
from cellwright.mes.kernel.errors import Detail, MesError

MAX_LENGTH: Final = 1_000
"""Characters of a search."""
MAX_WORDS: Final = 32
"""Words of a search."""

_TERM: Final = re.compile(r'"([^"]*)"(\*?)|([^\s"]+)')
_SEPARATORS: Final = re.compile(r"[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\s]+")
"""White space, and of ASCII all but letters and digits; the databases separate the same."""
_CHAIN_BITS: Final = 40
_fts = table("audit_search", column("rowid", BigInteger))


class Term(NamedTuple):
    """Words that follow each other."""

    words: tuple[str, ...]
    begins: bool
    """The last word is only the beginning of one."""


def terms(wanted: str) -> list[Term] | None:
    """What is searched; empty: nothing can be found; None: there is no condition.

    Raises MesError ``invalid_request`` when it is too long.
    """
    if not wanted.strip():
        return None
    if len(wanted) > MAX_LENGTH:
        raise _refused(f"has {len(wanted)} characters; at most {MAX_LENGTH} are searched")
    found = []
    for phrase, star, word in _TERM.findall(wanted.encode(errors="replace").decode()):
        words = tuple(
            each
            for each in _SEPARATORS.split(phrase or word)
            if any(letter.isalnum() for letter in each)
        )
        if words:
            found.append(Term(words, bool(star) or word.endswith("*")))
    count = sum(len(term.words) for term in found)
    if count > MAX_WORDS:
        raise _refused(f"has {count} words; at most {MAX_WORDS} are searched")
    return found


def _refused(why: str) -> MesError:
    return MesError("invalid_request", f"q {why}; leave some out", [Detail("q", why)])


def narrowed(session: Session, statement: Select[Any], wanted: str) -> Select[Any]:
    """The statement over `AuditRecord`, of the records that are found only.

    Raises MesError ``invalid_request``; see `terms`.
    """
    found = terms(wanted)
    if found is None:
        return statement
    if not found:
        return statement.where(false())
    keys = (_in_sqlite if session.get_bind().dialect.name == "sqlite" else _in_postgresql)(found)
    # A join, because SQLite would rather read all records of the tenant than look a list up.
    return statement.join(
        keys,
        and_(keys.c.chain_id == AuditRecord.chain_id, keys.c.sequence == AuditRecord.sequence),
    )


def _in_sqlite(found: list[Term]) -> FromClause:
    rowid = _fts.c.rowid
    return (
        select(
            rowid.op(">>")(_CHAIN_BITS).label("chain_id"),
            rowid.op("&")((1 << _CHAIN_BITS) - 1).label("sequence"),
        )
        .where(text("audit_search MATCH :words").bindparams(words=_for_fts5(found)))
        .subquery()
    )


def _in_postgresql(found: list[Term]) -> FromClause:
    query = func.to_tsquery(cast("simple", REGCONFIG), cast(_for_tsquery(found), Text))
    return func.cellwright_audit_search(query).table_valued(
        column("chain_id", BigInteger), column("sequence", BigInteger)
    )


def _for_fts5(found: list[Term]) -> str:
    return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.begins else ""}' for term in found)


def _for_tsquery(found: list[Term]) -> str:
    phrases = (
        " <-> ".join(f"'{word}'" for word in term.words) + (":*" if term.begins else "")
        for term in found
    )
    return " & ".join(f"({phrase})" for phrase in phrases)
