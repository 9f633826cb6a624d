"""The Merkle tree over an audit chain: leaf ``n - 1`` is the record with sequence ``n``.

Complete tiles of 256 neighbouring hashes are stored when a checkpoint is made; a proof reads three
of them at ten million records. Appending pays nothing for the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from cellwright.mes.audit.merkle import EMPTY_ROOT, leaf_hash, node_hash
from cellwright.mes.audit.tables import AuditRecord, AuditTile
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.scope import scope_of

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
"""Hashes of a tile."""
_BATCH: Final = 400
"""Tiles that are made at a time: about 100,000 records."""

_record = Base.metadata.tables[AuditRecord.__tablename__]
_tile = Base.metadata.tables[AuditTile.__tablename__]


class Tile(NamedTuple):
    """Neighbouring hashes of one level."""

    level: int
    position: int
    hashes: list[bytes]
    """At most `WIDTH`."""


def covered(level: int, position: int) -> range:
    """The leaves below one hash of that level of tiles."""
    return range(position << level * HEIGHT, position + 1 << level * HEIGHT)


class GrowingTree:
    """The tree of leaves that come one after the other; holds only its open tiles."""

    def __init__(self) -> None:
        self.size = 0
        """Leaves so far."""
        self._open: list[list[bytes]] = []

    def add(self, leaves: list[bytes]) -> Iterator[Tile]:
        """Take further leaves, at most to the end of a tile; gives the tiles that became full.

        To be iterated to its end.
        """
        self.size += len(leaves)
        level, coming = 0, leaves
        while coming:
            if level == len(self._open):
                self._open.append([])
            tile = self._open[level]
            done = len(tile) >> HEIGHT
            tile += coming
            coming = [
                subtree(tile[at << HEIGHT : at + 1 << HEIGHT])
                for at in range(done, len(tile) >> HEIGHT)
            ]
            if len(tile) == WIDTH:
                self._open[level] = []
                yield Tile(level, (self.size >> level * HEIGHT) // WIDTH - 1, tile)
            level += 1

    def open_tiles(self) -> Iterator[Tile]:
        """The tiles that are not full."""
        for level, tile in enumerate(self._open):
            yield Tile(level, (self.size >> level * HEIGHT) // WIDTH, tile)

    def root(self) -> bytes:
        """Root of the tree as it is (RFC 9162, 2.1.1)."""
        found = b""
        for tile in self._open:
            rest = tile[len(tile) >> HEIGHT << HEIGHT :]
            while rest:
                count = len(rest) & -len(rest)
                piece = subtree(rest[-count:])
                found = node_hash(piece, found) if found else piece
                del rest[-count:]
        return found or EMPTY_ROOT


def subtree(hashes: list[bytes]) -> bytes:
    """Hash over neighbouring hashes of one level, whose number is a power of two."""
    while len(hashes) > 1:
        hashes = [
            node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


class ChainTree:
    """Hashes of the subtrees of one chain, read when they are asked for."""

    def __init__(self, session: Session, chain_id: int) -> None:
        self._session = session
        self._chain_id = chain_id
        self._known: dict[tuple[int, int], list[list[bytes]]] = {}

    def node(self, level: int, position: int) -> bytes:
        """See `merkle.Subtrees`."""
        tile_level, inner = divmod(level, HEIGHT)
        tile, place = divmod(position << inner, WIDTH)
        return self._tile(tile_level, tile)[inner][place >> inner]

    def leaf(self, index: int) -> bytes:
        """Hash of the leaf."""
        return self.node(0, index)

    def _tile(self, level: int, position: int) -> list[list[bytes]]:
        """A tile's hashes and those of the subtrees inside it, as far as they are complete."""
        known = self._known.get((level, position))
        if known is None:
            rows = [self._hashes(level, position)]
            for _ in range(HEIGHT):
                below = rows[-1]
                rows.append(
                    [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
                )
            known = self._known[level, position] = rows
        return known

    def _hashes(self, level: int, position: int) -> list[bytes]:
        stored = self._session.connection().scalar(
            select(_tile.c.hashes).where(
                _tile.c.chain_id == self._chain_id,
                _tile.c.level == level,
                _tile.c.position == position,
            )
        )
        if stored is not None:
            return [stored[at : at + 32] for at in range(0, len(stored), 32)]
        if level == 0:
            return self._leaves(position * WIDTH)
        found: list[bytes] = []
        for below in range(position * WIDTH, (position + 1) * WIDTH):
            rows = self._tile(level - 1, below)
            if len(rows[0]) < WIDTH:
                break
            found.append(rows[HEIGHT][0])
        return found

    def _leaves(self, first: int) -> list[bytes]:
        hashes = self._session.connection().scalars(
            select(_record.c.hash)
            .where(
                _record.c.chain_id == self._chain_id,
                _record.c.sequence > first,
                _record.c.sequence <= first + WIDTH,
            )
            .order_by(_record.c.sequence)
        )
        return [leaf_hash(bytes.fromhex(found)) for found in hashes]


def store_tiles(session: Session, chain_id: int, size: int) -> None:
    """Store the tiles that the first ``size`` records complete and that are not stored yet."""
    count, level = size >> HEIGHT, 0
    while count:
        done = session.connection().scalar(
            select(func.coalesce(func.max(_tile.c.position) + 1, 0)).where(
                _tile.c.chain_id == chain_id, _tile.c.level == level
            )
        )
        for begin in range(int(done or 0), count, _BATCH):
            # A new reader each time, so that what was read does not pile up.
            tree = ChainTree(session, chain_id)
            _store(session, tree, level, range(begin, min(begin + _BATCH, count)), chain_id)
        count, level = count >> HEIGHT, level + 1


def _store(session: Session, tree: ChainTree, level: int, positions: range, chain_id: int) -> None:
    scope = scope_of(session)
    rows = [
        {
            "tenant_id": scope.tenant_id,
            "site_id": scope.site_id,
            "chain_id": chain_id,
            "level": level,
            "position": position,
            "hashes": b"".join(
                tree.node(level * HEIGHT, position * WIDTH + at) for at in range(WIDTH)
            ),
        }
        for position in positions
    ]
    if rows:
        session.connection().execute(insert(_tile), rows)
