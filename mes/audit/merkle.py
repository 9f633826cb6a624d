"""Merkle trees after RFC 9162 (2.1): roots, inclusion and consistency proofs, and their checks.

Pure functions over a source of subtree hashes; `tree` gives one that reads a chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a tree without leaves (RFC 9162, 2.1.1)."""


class Subtrees(Protocol):
    """Hashes of complete subtrees."""

    def node(self, level: int, position: int) -> bytes:
        """Hash over the ``2**level`` leaves from ``position * 2**level`` on; 32 bytes."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 over 0x00 and the leaf's data."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 over 0x01 and both children."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root(subtrees: Subtrees, size: int) -> bytes:
    """Root of the tree of the first ``size`` leaves."""
    return EMPTY_ROOT if size == 0 else _range(subtrees, 0, size)


def inclusion_proof(subtrees: Subtrees, index: int, size: int) -> list[bytes]:
    """Audit path of the leaf ``index`` (from 0) in the tree of ``size`` leaves (2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start = 0
    while size > 1:
        left = _split(size)
        if index < left:
            path.append(_range(subtrees, start + left, size - left))
            size = left
        else:
            path.append(_range(subtrees, start, left))
            start, index, size = start + left, index - left, size - left
    return path[::-1]


def consistency_proof(subtrees: Subtrees, old: int, size: int) -> list[bytes]:
    """Proof that the tree of ``size`` leaves begins with that of ``old`` (2.1.4.1)."""
    if not 0 < old <= size:
        raise ValueError(f"a tree of {size} leaves cannot be compared with one of {old}")
    proof: list[bytes] = []
    start, whole = 0, True
    while old != size:
        left = _split(size)
        if old <= left:
            proof.append(_range(subtrees, start + left, size - left))
            size = left
        else:
            proof.append(_range(subtrees, start, left))
            start, old, size, whole = start + left, old - left, size - left, False
    if not whole:
        proof.append(_range(subtrees, start, size))
    return proof[::-1]


def check_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes
) -> bool:
    """True when the path leads from the leaf's hash to the root (2.1.3.2)."""
    if index >= size:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == expected


def check_consistency(
    old: int, old_root: bytes, size: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """True when the proof shows that the larger tree begins with the smaller one (2.1.4.2)."""
    if old == size:
        return old_root == new_root and not proof
    if old > size or old < 1 or not proof:
        return False
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _range(subtrees: Subtrees, start: int, size: int) -> bytes:
    """Hash over ``size`` leaves; ``start`` is a multiple of the next power of two."""
    pieces: list[bytes] = []
    while size:
        level = size.bit_length() - 1
        pieces.append(subtrees.node(level, start >> level))
        start, size = start + (1 << level), size - (1 << level)
    found = pieces.pop()
    while pieces:
        found = node_hash(pieces.pop(), found)
    return found
