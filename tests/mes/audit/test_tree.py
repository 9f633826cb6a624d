"""Merkle trees and checkpoints: proofs lead to the root, and what was rewritten is found."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, update

from cellwright.mes import audit
from cellwright.mes.audit import checkpoints, merkle, tree
from cellwright.mes.audit.checkpoints import CheckpointKey
from cellwright.mes.audit.tables import AuditChain, AuditCheckpoint, AuditRecord, AuditTile
from cellwright.mes.kernel.errors import MesError
from support.audit_trails import behind_the_triggers, fill, rewrite, verify


class Leaves:
    """Subtrees over a list, by the definition."""

    def __init__(self, size):
        self.hashes = [merkle.leaf_hash(bytes([number % 256])) for number in range(size)]

    def node(self, level, position):
        return self.over(position << level, 1 << level)

    def over(self, start, size):
        if size == 1:
            return self.hashes[start]
        left = 1 << (size - 1).bit_length() - 1
        return merkle.node_hash(self.over(start, left), self.over(start + left, size - left))


def test_the_root_of_nothing_and_of_one_leaf():
    assert merkle.root(Leaves(0), 0) == hashlib.sha256().digest()
    assert merkle.root(Leaves(1), 1) == hashlib.sha256(b"\0\0").digest()


@given(st.integers(1, 70), st.data())
def test_an_inclusion_proof_leads_to_the_root_and_to_no_other(size, data):
    leaves = Leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root = merkle.root(leaves, size)
    assert root == leaves.over(0, size)
    path = merkle.inclusion_proof(leaves, index, size)
    assert merkle.check_inclusion(leaves.hashes[index], index, size, path, root)
    assert not merkle.check_inclusion(merkle.leaf_hash(b"forged"), index, size, path, root)
    if path:
        assert not merkle.check_inclusion(leaves.hashes[index], index, size, path[:-1], root)
    other = data.draw(st.integers(0, size - 1))
    if leaves.hashes[other] != leaves.hashes[index]:
        assert not merkle.check_inclusion(leaves.hashes[other], other, size, path, root)


@given(st.integers(1, 70), st.data())
def test_a_consistency_proof_shows_that_one_tree_begins_with_the_other(size, data):
    leaves = Leaves(size)
    old = data.draw(st.integers(1, size))
    roots = leaves.over(0, old), leaves.over(0, size)
    proof = merkle.consistency_proof(leaves, old, size)
    assert merkle.check_consistency(old, roots[0], size, roots[1], proof)
    if old < size:
        forged = merkle.leaf_hash(b"forged")
        assert not merkle.check_consistency(old, forged, size, roots[1], proof)
        assert not merkle.check_consistency(old, roots[0], size, forged, proof)


def test_the_stored_tree_of_a_chain_is_the_one_of_its_records(empty_store):
    fill(empty_store, 700)
    with empty_store.session() as session:
        chain_id, size = checkpoints.find_chain(session, "people")
        before = merkle.root(tree.ChainTree(session, chain_id), size)
        tree.store_tiles(session, chain_id, size)
        tree.store_tiles(session, chain_id, size)
    with empty_store.reading() as session:
        hashes = [merkle.leaf_hash(bytes.fromhex(record.hash)) for record in audit.trail(session)]
        leaves = Leaves(0)
        leaves.hashes = hashes
        stored = tree.ChainTree(session, chain_id)
        assert merkle.root(stored, size) == before == leaves.over(0, size)
        for index in (0, 255, 256, 511, 512, 699):
            path = merkle.inclusion_proof(stored, index, size)
            assert merkle.check_inclusion(hashes[index], index, size, path, before)


@pytest.fixture
def key(tmp_path):
    """A key of checkpoints in a folder of its own."""
    return CheckpointKey(tmp_path / "keys")


def sign(store, key):
    with store.session() as session:
        return checkpoints.make(session, key, "people")


def compared(store, signed):
    with store.reading() as session:
        return audit.verify(session, checkpoint=signed).problem


def test_a_checkpoint_stays_while_the_chain_does_not_grow_and_survives_its_file(
    empty_store, key, tmp_path
):
    fill(empty_store, 5)
    first = sign(empty_store, key)
    assert sign(empty_store, key) == first
    assert checkpoints.read(first.to_file(), "file") == first
    assert CheckpointKey(tmp_path / "keys").id == key.id
    assert (tmp_path / "keys" / checkpoints.KEY_FILE).stat().st_mode & 0o777 == 0o600
    fill(empty_store, 1)
    second = sign(empty_store, key)
    assert (second.tree_size, compared(empty_store, first)) == (6, "")


def test_a_cut_tail_whose_end_was_set_back_is_found_by_a_checkpoint(empty_store, key):
    fill(empty_store, 9)
    signed = sign(empty_store, key)
    with empty_store.reading() as session:
        seventh = audit.trail(session)[6].hash
    behind_the_triggers(
        empty_store,
        delete(AuditRecord).where(AuditRecord.sequence > 7),
        update(AuditChain).values(sequence=7, hash=seventh),
    )
    assert verify(empty_store).broken == 8  # the database has the checkpoint, too
    behind_the_triggers(empty_store, delete(AuditCheckpoint))
    assert verify(empty_store).ok
    assert "record 8 of chain people is missing" in compared(empty_store, signed)


def test_a_chain_that_was_written_anew_is_found_by_a_checkpoint(empty_store, key):
    fill(empty_store, 4)
    signed = sign(empty_store, key)
    behind_the_triggers(
        empty_store,
        delete(AuditRecord),
        update(AuditChain).values(sequence=0, hash=audit.GENESIS),
    )
    fill(empty_store, 3)
    fill(empty_store, 2)
    assert "stored checkpoint" in verify(empty_store).problem
    behind_the_triggers(empty_store, delete(AuditCheckpoint))
    assert verify(empty_store).ok
    assert "written anew" in compared(empty_store, signed)


def test_an_older_checkpoint_narrows_down_where_the_chain_was_written_anew(empty_store, key):
    for count in (3, 4, 5):
        fill(empty_store, count)
        signed = sign(empty_store, key)

    def change(rows):
        rows[4]["reason"] = "nicer"
        return 4

    rewrite(empty_store, change)
    assert "the records 4 to 7 of chain people are not those of" in verify(empty_store).problem
    behind_the_triggers(empty_store, delete(AuditCheckpoint).where(AuditCheckpoint.tree_size == 7))
    assert "the records 4 to 12 " in compared(empty_store, signed)


def test_a_chain_that_is_gone_is_missed_by_its_checkpoint(empty_store, key):
    fill(empty_store, 4)
    signed = sign(empty_store, key)
    behind_the_triggers(
        empty_store, delete(AuditCheckpoint), delete(AuditRecord), delete(AuditChain)
    )
    assert verify(empty_store).ok
    assert "there is no chain cellwright/tenant/1/site/1/people" in compared(empty_store, signed)


@pytest.mark.parametrize(
    ("forgery", "named"),
    [
        (update(AuditTile).values(hashes=bytes(32 * 256)), "record 1 of chain people is not the"),
        (delete(AuditTile).where(AuditTile.position == 0), "begins with record 1: the tree was"),
    ],
)
def test_a_stored_tree_that_was_changed_is_named(empty_store, key, forgery, named):
    fill(empty_store, 520)
    sign(empty_store, key)
    behind_the_triggers(empty_store, forgery)
    assert named in verify(empty_store).problem


@given(st.integers(0, 1500), st.lists(st.integers(1, tree.WIDTH), min_size=1))
def test_a_tree_that_grows_has_the_root_of_its_leaves(size, steps):
    leaves, growing, full = Leaves(size), tree.GrowingTree(), 0
    for number in itertools.count():
        there = growing.size
        if there == size:
            break
        end = there + min(steps[number % len(steps)], tree.WIDTH - there % tree.WIDTH)
        for tile in list(growing.add(leaves.hashes[there:end])):
            below = tree.covered(tile.level, tile.position * tree.WIDTH)
            assert tile.hashes[0] == leaves.over(below.start, len(below))
            full += tile.level == 0
    assert growing.root() == merkle.root(leaves, size)
    assert full == size // tree.WIDTH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"treeSize": 4', b'"treeSize": 3'),
        (b"{", b"["),
        (b"people\\n", b"x\\n"),
        (b'"people"', b'"cell/A"'),
        (b'"time": "2026', b'"time": "2025'),
    ],
)
def test_a_checkpoint_that_was_touched_is_refused(empty_store, key, old, new):
    fill(empty_store, 4)
    data = sign(empty_store, key).to_file()
    assert old in data
    with pytest.raises(MesError, match="file"):
        checkpoints.read(data.replace(old, new), "file")
