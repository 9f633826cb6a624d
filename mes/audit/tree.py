"""The Merkle tree over an audit chain: leaf ``n - 1`` is the record with sequence ``n``.

Every fourth level is stored, in tiles of 256 neighbouring hashes, when a checkpoint or a proof is
asked for: level 0 in full tiles, the levels above with what there is. So a proof reads a dozen
tiles, at any length of the chain. Appending pays nothing for the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sqlalchemy import Select, bindparam, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cellwright.mes.audit.merkle import EMPTY_ROOT, node_hash
from cellwright.mes.audit.tables import AuditRecord, AuditTile
from cellwright.mes.kernel.base import Base
from cellwright.mes.kernel.scope import scope_of

STEP: Final = 4
"""Levels of the tree from one level of tiles to the next."""
WIDTH: Final = 256
"""Hashes of a full tile."""
LENGTH: Final = 32
"""Bytes of a hash."""
_BATCH: Final = 64
"""Tiles that are made at a time: about 16,000 records."""

_record = Base.metadata.tables[AuditRecord.__tablename__]
_tile = Base.metadata.tables[AuditTile.__tablename__]
_LEAVES: Final = (
    select(_record.c.hash)
    .where(
        _record.c.chain_id == bindparam("chain_id"),
        _record.c.sequence > bindparam("begin"),
        _record.c.sequence <= bindparam("end"),
    )
    .order_by(_record.c.sequence)
)


class Tile(NamedTuple):
    """Neighbouring hashes of one level of tiles."""

    level: int
    position: int
    hashes: list[bytes]
    """At most `WIDTH`."""


def covered(level: int, position: int) -> range:
    """The leaves below one hash of that level of tiles."""
    return range(position << level * STEP, position + 1 << level * STEP)


def leaves_of(hashes: Iterable[str]) -> list[bytes]:
    """Hashes of the leaves of records; a leaf's data is the record's hash (32 bytes)."""
    # `merkle.leaf_hash` without the call; see `_parents`.
    return [sha256(b"\0" + bytes.fromhex(each)).digest() for each in hashes]


def subtree(hashes: list[bytes]) -> bytes:
    """Hash over neighbouring hashes of one level, whose number is a power of two."""
    while len(hashes) > 1:
        hashes = _parents(hashes)
    return hashes[0]


def _parents(hashes: list[bytes]) -> list[bytes]:
    # `merkle.node_hash` of each pair, without the call: verification makes one for each record.
    pairs = zip(hashes[::2], hashes[1::2], strict=True)
    return [sha256(b"\1" + left + right).digest() for left, right in pairs]


class GrowingTree:
    """The tree of leaves that come one after the other; holds only its open tiles."""

    def __init__(self, size: int = 0, open_tiles: Iterable[list[bytes]] = ()) -> None:
        self.size = size
        """Leaves so far."""
        self._open = list(open_tiles)

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
            done = len(tile) >> STEP
            tile += coming
            coming = tile[done << STEP : len(tile) >> STEP << STEP]
            for _ in range(STEP):
                coming = _parents(coming)
            if len(tile) == WIDTH:
                self._open[level] = []
                yield Tile(level, (self.size >> level * STEP) // WIDTH - 1, tile)
            level += 1

    def open_tiles(self) -> Iterator[Tile]:
        """The tiles that are not full and not empty."""
        for level, tile in enumerate(self._open):
            if tile:
                yield Tile(level, (self.size >> level * STEP) // WIDTH, tile)

    def root(self) -> bytes:
        """Root of the tree as it is (RFC 9162, 2.1.1)."""
        found = b""
        for tile in self._open:
            rest = tile[len(tile) >> STEP << STEP :]
            while rest:
                count = len(rest) & -len(rest)
                piece = subtree(rest[-count:])
                found = node_hash(piece, found) if found else piece
                del rest[-count:]
        return found or EMPTY_ROOT


class ChainTree:
    """Hashes of the subtrees of one chain, read when they are asked for."""

    def __init__(self, session: Session, chain_id: int) -> None:
        self._session = session
        self._chain_id = chain_id
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._made: dict[tuple[int, int], bytes] = {}

    def read_ahead(self, index: int, size: int) -> None:
        """Read in one statement what a proof of the leaf ``index`` in that tree needs."""
        wanted = {
            (level, place // WIDTH)
            for level, count in _counts(size)
            for place in (index >> level * STEP, count - 1)
        }
        wanted -= self._tiles.keys()
        self._tiles |= dict.fromkeys(wanted, b"")
        self._tiles |= read_tiles(self._session, self._chain_id, sorted(wanted))

    def node(self, level: int, position: int) -> bytes:
        """See `merkle.Subtrees`."""
        tile_level, inner = divmod(level, STEP)
        return subtree(self._run(tile_level, position << inner, 1 << inner))

    def leaf(self, index: int) -> bytes:
        """Hash of the leaf."""
        return self.node(0, index)

    def _run(self, level: int, first: int, count: int) -> list[bytes]:
        """Neighbouring hashes of one group of a level of tiles."""
        tile, place = divmod(first, WIDTH)
        if (level, tile) not in self._tiles:
            found = read_tiles(self._session, self._chain_id, [(level, tile)])
            self._tiles[level, tile] = found.get((level, tile), b"")
        stored = self._tiles[level, tile][place * LENGTH : (place + count) * LENGTH]
        hashes = [stored[at : at + LENGTH] for at in range(0, len(stored), LENGTH)]
        if len(hashes) < count:
            missing = range(first + len(hashes), first + count)
            hashes += (
                read_leaves(self._session, self._chain_id, missing)
                if level == 0
                else [self._make(level, position) for position in missing]
            )
        return hashes

    def _make(self, level: int, position: int) -> bytes:
        known = self._made.get((level, position))
        if known is None:
            known = subtree(self._run(level - 1, position << STEP, 1 << STEP))
            self._made[level, position] = known
        return known


@lru_cache(maxsize=64)
def _lookup(count: int) -> Any:
    each: list[Select[Any]] = [
        select(_tile.c.level, _tile.c.position, _tile.c.hashes).where(
            _tile.c.chain_id == bindparam("chain_id"),
            _tile.c.level == bindparam(f"level_{number}"),
            _tile.c.position == bindparam(f"position_{number}"),
        )
        for number in range(count)
    ]
    return union_all(*each)


def read_tiles(
    session: Session, chain_id: int, wanted: list[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """Those of the tiles that are stored, by level and position."""
    if not wanted:
        return {}
    names: dict[str, int] = {"chain_id": chain_id}
    for number, (level, position) in enumerate(wanted):
        names |= {f"level_{number}": level, f"position_{number}": position}
    rows = session.connection().execute(_lookup(len(wanted)), names)
    return {(row[0], row[1]): row[2] for row in rows}


def read_leaves(session: Session, chain_id: int, indexes: range) -> list[bytes]:
    """Hashes of the leaves, from the records themselves."""
    found = session.connection().scalars(
        _LEAVES, {"chain_id": chain_id, "begin": indexes.start, "end": indexes.stop}
    )
    return leaves_of(found)


def store_tiles(session: Session, chain_id: int, size: int) -> None:
    """Store what the first ``size`` records complete and what is not stored yet."""
    wanted = {
        (level, count // WIDTH): count % WIDTH * LENGTH
        for level, count in _counts(size)
        if level and count % WIDTH
    }
    wanted |= {
        (level, count // WIDTH - 1): WIDTH * LENGTH
        for level, count in _counts(size)
        if count >= WIDTH
    }
    found = read_tiles(session, chain_id, sorted(wanted))
    if all(len(found.get(key, b"")) >= length for key, length in wanted.items()):
        return
    there = _stored_leaves(session, chain_id)
    tree = _resumed(session, chain_id, there)
    tiles: list[Tile] = []
    if tree is None:
        tree = GrowingTree()
        for begin in range(0, there, WIDTH):
            tiles += tree.add(_stored(session, chain_id, begin // WIDTH))
            if len(tiles) >= _BATCH:
                _store(session, chain_id, tiles)
    while tree.size < size:
        end = min(tree.size + WIDTH * _BATCH, size)
        leaves = read_leaves(session, chain_id, range(tree.size, end))
        for at in range(0, len(leaves), WIDTH):
            tiles += tree.add(leaves[at : at + WIDTH])
        _store(session, chain_id, tiles)
    tiles += (tile for tile in tree.open_tiles() if tile.level)
    _store(session, chain_id, tiles)


def _counts(size: int) -> Iterator[tuple[int, int]]:
    """Each level of tiles, and how many complete hashes it has."""
    level = 0
    while count := size >> level * STEP:
        yield level, count
        level += 1


def _stored_leaves(session: Session, chain_id: int) -> int:
    last = session.connection().scalar(
        select(func.max(_tile.c.position)).where(_tile.c.chain_id == chain_id, _tile.c.level == 0)
    )
    return 0 if last is None else (int(last) + 1) * WIDTH


def _stored(session: Session, chain_id: int, position: int) -> list[bytes]:
    found = read_tiles(session, chain_id, [(0, position)]).get((0, position), b"")
    if len(found) != WIDTH * LENGTH:  # somebody took it away
        return read_leaves(session, chain_id, range(position * WIDTH, (position + 1) * WIDTH))
    return [found[at : at + LENGTH] for at in range(0, len(found), LENGTH)]


def _resumed(session: Session, chain_id: int, size: int) -> GrowingTree | None:
    """The tree of the leaves whose tiles are stored; None when tiles above them are missing."""
    counts = list(_counts(size))
    found = read_tiles(session, chain_id, [(level, count // WIDTH) for level, count in counts])
    opened: list[list[bytes]] = []
    for level, count in counts:
        stored = found.get((level, count // WIDTH), b"")[: count % WIDTH * LENGTH]
        if len(stored) < count % WIDTH * LENGTH:
            return None
        opened.append([stored[at : at + LENGTH] for at in range(0, len(stored), LENGTH)])
    return GrowingTree(size, opened)


def _store(session: Session, chain_id: int, tiles: list[Tile]) -> None:
    """Write the tiles and empty the list; what is stored is only ever made longer."""
    if not tiles:
        return
    scope, connection = scope_of(session), session.connection()
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    add = dialect.insert(_tile)
    connection.execute(
        add.on_conflict_do_update(
            index_elements=["chain_id", "level", "position"],
            set_={"hashes": add.excluded.hashes},
            where=func.length(_tile.c.hashes) < func.length(add.excluded.hashes),
        ),
        [
            {
                "tenant_id": scope.tenant_id,
                "site_id": scope.site_id,
                "chain_id": chain_id,
                "level": tile.level,
                "position": tile.position,
                "hashes": b"".join(tile.hashes),
            }
            for tile in tiles
        ],
    )
    tiles.clear()
