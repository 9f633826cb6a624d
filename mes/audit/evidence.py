"""What stands beside a chain and says what it was: the stored tree, and signed checkpoints.

`verification` hands over the hashes of the records as it reads them. The tree is computed anew of
them and compared with every tile that is stored and with every checkpoint, so that a chain which
was written anew is found although each of its links holds. Nothing that is stored is believed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cellwright.mes.audit.tables import AuditCheckpoint, AuditTile
from cellwright.mes.audit.tree import LENGTH, WIDTH, GrowingTree, Tile, covered, leaves_of
from cellwright.mes.kernel.base import Base

_tile = Base.metadata.tables[AuditTile.__tablename__]
_AHEAD: Final = 16
"""Tiles that are read at a time."""


class Fault(NamedTuple):
    """The first record that is not what it was, and a sentence for people."""

    record: int
    problem: str


class Root(NamedTuple):
    """What a checkpoint says."""

    hash: str
    """Hexadecimal."""
    name: str
    """``the checkpoint of 2026-03-14T12:00:00+00:00``."""


class Evidence:
    """Compares a chain with what stands beside it, record by record."""

    def __init__(
        self, session: Session, chain_id: int, chain: str, roots: Mapping[int, list[Root]]
    ) -> None:
        """``roots``: what checkpoints that were kept elsewhere say of which size of the tree."""
        self._chain = chain
        self._tiles = _StoredTiles(session, chain_id)
        self._roots = _stored_roots(session, chain_id)
        for size, found in roots.items():
            self._roots.setdefault(size, []).extend(found)
        self._sizes = sorted(self._roots)
        self._tree = GrowingTree()
        self._proven = 0
        self._wanted = bool(self._sizes or self._tiles.last)

    def add(self, hashes: list[str]) -> Fault | None:
        """Take the next records' hashes (hexadecimal); the first fault that they show."""
        begin = 0
        while self._wanted and begin < len(hashes):
            there = self._tree.size
            end = begin + WIDTH - there % WIDTH
            if self._sizes:
                end = min(end, begin + self._sizes[0] - there)
            for tile in self._tree.add(leaves_of(hashes[begin:end])):
                if fault := self._compare(tile):
                    return fault
            if fault := self._compare_roots():
                return fault
            begin = end
        return None

    def close(self) -> Fault | None:
        """The chain has ended: what of it is missing, or differs in tiles that are not full."""
        size = self._tree.size
        if not self._wanted:
            return None
        for tile in self._tree.open_tiles():
            if fault := self._compare(tile):
                return fault
        known = self._tiles.known()
        if known > size:
            return Fault(
                size + 1,
                f"record {size + 1} of chain {self._chain} is missing: the stored tree knows "
                f"{known} records; the tail was cut off",
            )
        for later in self._sizes:
            return Fault(
                size + 1,
                f"record {size + 1} of chain {self._chain} is missing: {self._roots[later][0].name}"
                f" knows {later} records; the tail was cut off",
            )
        return None

    def _compare(self, tile: Tile) -> Fault | None:
        stored = self._tiles.read(tile.level, tile.position)
        first = covered(tile.level, tile.position * WIDTH).start + 1
        where = f"tile {tile.position} of level {tile.level} of the stored tree"
        if stored is None:
            if tile.position < self._tiles.last.get(tile.level, -1):
                return Fault(
                    first,
                    f"{where} of chain {self._chain} is missing, which begins with record {first}: "
                    "the tree was changed",
                )
            return None
        found = b"".join(tile.hashes)
        for at in range(0, min(len(found), len(stored)), LENGTH):
            if found[at:] == stored[at:]:
                break
            if found[at : at + LENGTH] != stored[at : at + LENGTH]:
                return self._differs(tile, at // LENGTH, where)
        return None

    def _differs(self, tile: Tile, at: int, where: str) -> Fault:
        below = covered(tile.level, tile.position * WIDTH + at)
        if tile.level == 0:
            return Fault(
                below.stop,
                f"record {below.stop} of chain {self._chain} is not the one that {where} holds: "
                "the chain was written anew from there on, or the tree was changed",
            )
        return Fault(
            below.start + 1,
            f"{where} does not hold the records {below.start + 1} to {below.stop} of chain "
            f"{self._chain}, which its lower levels hold: the tree was changed",
        )

    def _compare_roots(self) -> Fault | None:
        size = self._tree.size
        if not self._sizes or self._sizes[0] != size:
            return None
        del self._sizes[0]
        root = self._tree.root().hex()
        for each in self._roots[size]:
            if each.hash != root:
                return Fault(
                    self._proven + 1,
                    f"the records {self._proven + 1} to {size} of chain {self._chain} are not "
                    f"those of {each.name}: the chain was written anew",
                )
        self._proven = size
        return None


def _stored_roots(session: Session, chain_id: int) -> dict[int, list[Root]]:
    found: dict[int, list[Root]] = {}
    rows = session.execute(
        select(AuditCheckpoint.tree_size, AuditCheckpoint.root_hash, AuditCheckpoint.utc)
        .where(AuditCheckpoint.chain_id == chain_id, AuditCheckpoint.tree_size > 0)
        .order_by(AuditCheckpoint.id)
    )
    for size, root, at in rows:
        found.setdefault(size, []).append(Root(root, f"the stored checkpoint of {at.isoformat()}"))
    return found


class _StoredTiles:
    """The tiles of a chain, read some at a time."""

    def __init__(self, session: Session, chain_id: int) -> None:
        self._session = session
        self._chain_id = chain_id
        self._read: dict[int, dict[int, bytes]] = {}
        rows = session.connection().execute(
            select(_tile.c.level, func.max(_tile.c.position))
            .where(_tile.c.chain_id == chain_id)
            .group_by(_tile.c.level)
        )
        self.last: dict[int, int] = {row[0]: row[1] for row in rows}
        """The last position of each level."""

    def read(self, level: int, position: int) -> bytes | None:
        """The hashes of a tile; None when it is not stored. Positions of a level only grow."""
        if position > self.last.get(level, -1):
            return None
        begin = position - position % _AHEAD
        known = self._read.get(level)
        if known is None or begin not in known:
            known = self._read[level] = {begin: b"", **dict(self._window(level, begin))}
        return known.get(position) or None

    def _window(self, level: int, begin: int) -> Iterator[tuple[int, bytes]]:
        rows = self._session.connection().execute(
            select(_tile.c.position, _tile.c.hashes).where(
                _tile.c.chain_id == self._chain_id,
                _tile.c.level == level,
                _tile.c.position >= begin,
                _tile.c.position < begin + _AHEAD,
            )
        )
        return ((row[0], row[1]) for row in rows)

    def known(self) -> int:
        """How many records the tiles speak of."""
        most = 0
        for level, position in self.last.items():
            stored = self.read(level, position) or b""
            count = position * WIDTH + len(stored) // LENGTH
            most = max(most, covered(level, count).start)
        return most
